"""Checks of a configuration before a run."""
