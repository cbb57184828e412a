"""The configuration of a run: its tables, reading TOML, and loading the things that it names."""
