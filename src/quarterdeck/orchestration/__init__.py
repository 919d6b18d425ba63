"""What drives a run from its input to its outcome."""
