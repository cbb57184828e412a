"""Metrics: score replies, and say in words that a critic can use what was wrong."""
