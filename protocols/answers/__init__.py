"""Reads labels, numbers, grades and JSON from a model's replies."""
