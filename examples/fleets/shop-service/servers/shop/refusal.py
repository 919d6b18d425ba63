"""The one way in which the shop says no."""


class Refused(Exception):
    """What was asked cannot be done; the message says why, and what would be possible."""
