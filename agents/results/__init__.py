"""What a run has found: scores, comparisons, lengths, leaks, and the prompt as a program uses it."""
