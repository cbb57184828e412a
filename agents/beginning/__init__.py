"""From a data file to a configuration and a first prompt: what `init` guesses and writes."""
