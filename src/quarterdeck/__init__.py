"""Quarterdeck: the control plane for fleets of AI agents.

Where the SDK is installed beside it, its names are found here too: `quarterdeck.tool` and the rest
(decision 6). Nothing of it is imported until one of them is asked for.
"""

import importlib
from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """A name of the SDK, by that name; the server itself uses none of them."""
    if name.startswith("_"):
        raise AttributeError(f"module `quarterdeck` has no attribute `{name}`")
    try:
        sdk = importlib.import_module("quarterdeck_sdk")
    except ModuleNotFoundError as error:
        hint = "is it one of the SDK's? pip install quarterdeck-sdk"
        raise AttributeError(f"module `quarterdeck` has no attribute `{name}`; {hint}") from error
    if name not in sdk.__all__:
        raise AttributeError(f"module `quarterdeck` has no attribute `{name}`")
    return getattr(sdk, name)
