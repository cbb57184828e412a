"""The agents and the ring that they form."""
