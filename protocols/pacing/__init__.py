"""Pacing: how much an account is sent at once and a minute, what waits, and when it is given up."""
