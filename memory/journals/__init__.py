"""The run journal: writing, reading and follow it, and the calls in flight that a crash leaves behind."""
