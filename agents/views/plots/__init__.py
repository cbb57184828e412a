"""Plots: the curve of a search, and the effects of a study."""
