"""Labels: provenance and data class of content. They join; nothing here removes one.

Declassifiers (approval of the exact value, validators) come with the policy language; until then
a label that was set stays set.
"""

from typing import Final, Literal, TypeAlias

from quarterdeck.domain.errors import Invalid

Label: TypeAlias = Literal[
    "user", "internal", "retrieved", "external", "agent", "pii", "pci", "phi", "secret"
]
Labels: TypeAlias = frozenset[Label]
KNOWN: Final[frozenset[str]] = frozenset(
    ("user", "internal", "retrieved", "external", "agent", "pii", "pci", "phi", "secret")
)
NONE: Final[Labels] = frozenset()


def parse(names: str) -> Labels:
    """Labels from their stored form, names joined by spaces."""
    found = frozenset(names.split())
    if unknown := found - KNOWN:
        raise Invalid(f"unknown label `{sorted(unknown)[0]}`", hint=f"use one of {sorted(KNOWN)}")
    return found  # type: ignore[return-value]  # checked against KNOWN just above


def written(labels: Labels) -> str:
    """Labels in their stored form: sorted, joined by spaces."""
    return " ".join(sorted(labels))
