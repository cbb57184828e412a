"""Tasks from other tools' files."""
