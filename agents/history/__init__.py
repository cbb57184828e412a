"""Readers of a journal: the state of a search, its progress, the lineage of a prompt, and replay."""
