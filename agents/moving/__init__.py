"""A run that is gone on with: with new examples, or on another model."""
