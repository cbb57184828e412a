"""Programs of the user's, which answer an example by asking models with one or several prompts."""
