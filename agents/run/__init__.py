"""One search: opened, steered, and brought to its result."""
