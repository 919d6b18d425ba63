"""Quarterdeck for programs in Python: govern tools, start runs, attach ids downstream.

    import quarterdeck_sdk as quarterdeck

    @quarterdeck.tool("refund")
    def refund(order: str, amount: str) -> dict[str, str]: ...

    with quarterdeck.run("support", {"ticket": 7}) as run:
        refund("O-17", "12.50")

Everything works blocking and awaited. Deliberately absent: any decision. The server decides.
"""

from quarterdeck_sdk.errors import (
    FailedBefore,
    Held,
    InDoubt,
    Lapsed,
    Misconfigured,
    NotDone,
    QuarterdeckError,
    Reason,
    Refused,
    Rejected,
    Suggested,
    Unavailable,
    Unencodable,
    Unsettled,
)
from quarterdeck_sdk.runs import Run, run
from quarterdeck_sdk.scope import (
    AzureArguments,
    Current,
    GeminiArguments,
    VendorArguments,
    current,
)
from quarterdeck_sdk.tools import tool

__all__ = [
    "AzureArguments",
    "Current",
    "FailedBefore",
    "GeminiArguments",
    "Held",
    "InDoubt",
    "Lapsed",
    "Misconfigured",
    "NotDone",
    "QuarterdeckError",
    "Reason",
    "Refused",
    "Rejected",
    "Run",
    "Suggested",
    "Unavailable",
    "Unencodable",
    "Unsettled",
    "VendorArguments",
    "current",
    "run",
    "tool",
]
__version__ = "0.1.0"
