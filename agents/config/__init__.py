"""What a run is to do, as a person writes it: tables, TOML, the names in it, and what they stand for."""
