"""Training: splits, probe, tune, interpolate, calibrate, decide, and the pipeline that runs them."""
