"""The command line's commands: each asks the boss through ``client`` and prints what it says."""
