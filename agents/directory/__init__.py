"""The run directory: its files, who has it, and whether all of it is there."""
