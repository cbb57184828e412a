"""Models that run on this machine, through llama.cpp: weights, the process that serves them, and the `ChatModel`."""
