"""Views of work in progress: redrawn on a terminal, or as plain lines."""
