"""A configuration looked through before a run."""
