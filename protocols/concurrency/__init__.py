"""Threads and groups: how work is kept off the event loop, and shares its trips."""
