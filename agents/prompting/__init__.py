"""Requests to models, the material that fills them, and the forward pass."""
