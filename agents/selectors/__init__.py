"""The selectors: which operator to apply to which section."""
