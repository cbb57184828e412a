"""A whole run: its configuration, what it is put together from, and what it leaves behind."""
