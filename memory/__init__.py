"""Persistent storage: the memory of experiences, the run journal and the reply cache."""
