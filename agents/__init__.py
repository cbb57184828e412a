"""Who says it: the four kinds of agent, and the team that wires them into a ring."""
