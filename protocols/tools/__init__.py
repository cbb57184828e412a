"""Tools and schemas that a prompt offers, and their descriptions as sections."""
