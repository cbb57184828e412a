"""The agents, the ring that they form, and the runs, commands and views around it."""
