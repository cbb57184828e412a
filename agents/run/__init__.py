"""A single search: opening, steering, scoring and the search itself."""
