"""The results of a run: scores, comparisons, lengths, leaks, and the prompt as a program uses it."""
