"""Images as values of input fields, and their formats."""
