"""The state of a search and the rules that decide by it: survivors, races, rewards, credit and aims."""
