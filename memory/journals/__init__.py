"""The run journal: written, read, followed, and what a crash leaves in it."""
