"""The operators: each edits a section of a prompt, or the whole prompt, and names the sections that it can edit."""
