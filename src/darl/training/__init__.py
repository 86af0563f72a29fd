"""Training: recipe, probe, tune, interpolate, calibrate, pipeline."""
