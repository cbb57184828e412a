"""How a model is spoken to: requests, what they are filled with, and the forward pass."""
