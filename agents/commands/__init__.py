"""What a person sees of a run: the terminal, the log, the report."""
