"""The one place every action passes, before and after it takes effect."""
