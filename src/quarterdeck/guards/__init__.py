"""Guards: content in, findings out."""
