"""Forecasts of the cost and the headroom of a search, before it is paid for."""
