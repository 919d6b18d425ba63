"""The tool `route_ticket`: puts a ticket in a queue.

It runs in a process of its own that is given nothing but its arguments. The queue of this example
is a file, `tickets.jsonl`, in the folder that process runs in; a real desk would call its system.
"""

import json
from pathlib import Path
from typing import Any


def route_ticket(ticket: str, queue: str, confidence: float) -> dict[str, Any]:
    """Put one ticket in one queue and say that it was done."""
    line = json.dumps({"ticket": ticket, "queue": queue, "confidence": confidence})
    with Path("tickets.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    return {"ticket": ticket, "queue": queue, "routed": True}
