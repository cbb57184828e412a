"""The budget: caps, the spending under them, and prices of models."""
