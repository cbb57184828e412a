"""Forecasts before a search is paid for: what it will cost, and what it could gain."""
