"""Training: what a run is, the one loop, the store that finds a run again, weights in files."""
