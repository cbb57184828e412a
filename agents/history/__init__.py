"""What a journal tells: the state of a search, how it is going, how a prompt came about, and the run once more."""
