"""The tables of a configuration: every key, its default and its range."""
