"""Measured figures, each beside its baseline in the same run. Never timed tests."""
