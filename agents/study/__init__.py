"""Many searches: sweeps over a grid, and studies that compare arms with a baseline."""
