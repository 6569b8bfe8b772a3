"""The hostile world: the real loop and cores of boss and worker on a virtual clock, and everything around them made to fail.

Read ``world.py`` first (who lives in it), then ``faults.py`` (what goes wrong), ``promises.py`` (what must hold all the same).
"""
