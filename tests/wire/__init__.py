"""The parts of the wire server: its HTTP, the two formats, its books, its weather and what it answers."""
