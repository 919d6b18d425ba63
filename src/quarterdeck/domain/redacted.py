"""Content that may be stored (I-9). Made by `guards/redact.py`; a test says who else may."""

import msgspec

from quarterdeck.domain.labels import Labels


class Redacted(msgspec.Struct, frozen=True):
    """Bytes that may be stored, and the labels of what was taken out."""

    body: bytes
    labels: Labels
