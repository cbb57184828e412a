"""A local server that a program asks instead of a provider."""
