"""The run directory on the head of a search that works on another machine, in a copy."""
