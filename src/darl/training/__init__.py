"""Training: splits, match, probe, tune, interpolate, calibrate, decide, and the pipeline that runs them."""
