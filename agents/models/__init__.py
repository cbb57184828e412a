"""The models of a run: what stands around each, what they may cost, and what must be there first."""
