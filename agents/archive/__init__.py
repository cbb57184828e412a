"""The state of a search and its rules: archive, races, rewards, credit, aims."""
