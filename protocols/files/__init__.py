"""Reads the user's files: text, prompts, and code that a configuration names."""
