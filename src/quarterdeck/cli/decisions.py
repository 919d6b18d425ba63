"""What people decide about on the command line: a call that was not made, shown as it is."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given

if TYPE_CHECKING:
    from quarterdeck.cli.client import Api

Everything = Annotated[bool, typer.Option("--all", help="Whatever their state.")]
Reveal = Annotated[
    bool,
    typer.Option("--reveal", help="Show the exact arguments too; the ledger says you did."),
]


def read_call(given: Given, path: str, name: str, *, reveal: bool) -> dict[str, Any]:
    """What the API shows of it; with its `exact_arguments` where they are to be revealed."""
    from quarterdeck.cli.client import ask, part

    async def showing(api: "Api") -> dict[str, Any]:
        where = f"{path}/{part(name)}"
        shown: dict[str, Any] = await api.get(where)
        if reveal:
            exact = await api.post(f"{where}/reveal", {})
            shown["exact_arguments"] = exact["arguments"]
        return shown

    return ask(given, showing)


def call_fields(shown: dict[str, Any], noun: str, does: str) -> dict[str, str]:
    """The call it is about, for a terminal."""
    revealed = "exact_arguments" in shown
    return {
        noun: shown["id"],
        "state": shown["state"],
        "agent": shown["agent"],
        "run": shown["run"],
        does: shown["target"],
        "what it does": shown["consequences"]["summary"],
        "arguments": render.compact(shown["arguments"]),
        **({"exactly": render.compact(shown["exact_arguments"])} if revealed else {}),
        "labels": ", ".join(shown["labels"]) or "none",
        "rules": "\n".join(f"{r['rule']}: {r['because']}" for r in shown["reasons"]),
    }


def decided(by: str | None, at: str | None) -> str:
    """Who decided, and when."""
    return f"{by} ({render.when(at)})" if by else "not yet"
