"""Background ticks: one bounded, idempotent function per file."""
