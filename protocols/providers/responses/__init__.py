"""Reads servers' answers: failures, refusals, numbers, and rate limit headers."""
