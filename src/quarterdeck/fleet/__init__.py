"""The fleet folder: YAML to revisions, and what a change does."""
