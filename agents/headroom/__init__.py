"""Headroom: whether a search could improve a prompt, estimated before the search is paid for."""
