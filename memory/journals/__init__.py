"""The run journal: writing, reading and following it, and the calls in flight that a crash leaves behind."""
