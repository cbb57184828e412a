"""The run directory: its files, its lock, and checks that it is complete."""
