"""Whether a prompt leaves anything to be gained, told before a search is paid for."""
