"""The page of a run: its content, its drawing, and serving it while the run works."""
