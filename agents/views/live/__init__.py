"""What a person sees while something works: on a terminal, drawn anew, or in plain lines."""
