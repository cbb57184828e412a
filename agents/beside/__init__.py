"""Runs beside each other: a list of them, and a comparison on the test examples that they share."""
