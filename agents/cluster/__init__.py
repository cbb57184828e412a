"""Searches on a Ray cluster, or on the cores of this machine. Only this room imports ray."""
