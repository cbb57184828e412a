"""Models that run on this machine with llama.cpp: their weights, and the processes that serve them."""
