"""The models of a run: their wrappers, their budget, and checks of local models."""
