"""Answers: how labels, numbers, grades and JSON are read from what a model replies."""
