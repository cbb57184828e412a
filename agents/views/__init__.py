"""Output for people: the terminal, the log and the report of a run."""
