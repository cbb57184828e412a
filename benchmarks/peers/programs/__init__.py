"""One optimiser each: reads a job, trains, and writes its prompt as chat messages for each test input.

They run in environments of their own, in which nothing of PromptFlow is installed: what they share is `job.py`.
"""
