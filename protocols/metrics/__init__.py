"""Metrics: what a reply is worth, and why, in words that a critic can use."""
