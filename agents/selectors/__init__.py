"""The selectors: they choose which operator to apply to which section."""
