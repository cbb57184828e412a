"""The page of a run: what it says, how it is drawn, and how it is served while the run goes on."""
