"""The operators: each edits one section of a prompt, and says to which sections it applies."""
