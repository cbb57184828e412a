"""Money: caps, what was spent under them, and what models cost."""
