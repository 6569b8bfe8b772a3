"""Drivers of other systems, for comparison: each in an environment of its own, none of it a requirement of ecloud."""
