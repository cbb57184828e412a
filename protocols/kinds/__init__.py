"""The kinds of task: the form of an answer, how the first prompt asks for it, and how it is written and read."""
