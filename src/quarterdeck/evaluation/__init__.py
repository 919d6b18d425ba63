"""Suites, replay and comparison. Nothing yet."""
