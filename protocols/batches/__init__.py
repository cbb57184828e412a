"""Calls that are gathered, sent as batches, awaited, and fetched also by a later process."""
