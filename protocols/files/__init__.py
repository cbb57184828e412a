"""Files of the user's: text, prompts, and code that a configuration names."""
