"""Content that may be stored (I-9). Made by `guards/redact.py`; a test says who else may make one."""

from dataclasses import dataclass

from quarterdeck.domain.labels import Labels


@dataclass(frozen=True, slots=True)
class Redacted:
    """Bytes that may be stored, and the labels of what was taken out."""

    body: bytes
    labels: Labels
