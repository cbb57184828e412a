"""Pacing: limits an account's calls in flight and per minute, queues calls, and stops them when they are hopeless."""
