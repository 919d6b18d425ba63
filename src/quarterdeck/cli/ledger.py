"""`quarterdeck ledger`: check the record, keep its head, prove an entry, take it all out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command

if TYPE_CHECKING:
    from quarterdeck.cli.client import Api

app = typer.Typer(help="The ledger: verify, head, prove, export.", no_args_is_help=True)


@command(app, "verify", "ledger verify export.jsonl --public-key KEY --since kept.note")
def verify(
    given: Given,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="An export; without one, the database.")
    ] = None,
    public_key: Annotated[
        str | None, typer.Option(help="The ledger's key, got before: name+keyid+base64.")
    ] = None,
    since: Annotated[
        list[Path] | None, typer.Option(help="A signed head kept from earlier; may be repeated.")
    ] = None,
) -> None:
    """Check the ledger.

    With FILE, the offline verifier checks that export. The exit status is 1 if anything was changed
    and, for a file, 2 if it cannot be judged.
    """
    if file is not None:
        raise typer.Exit(_verify_file(given, file, public_key, since or []))
    if public_key or since:
        raise typer.BadParameter("--public-key and --since check an export: name its file")
    from quarterdeck.cli.client import ask

    found = ask(given, lambda api: api.post("/v1/ledger/verify", seconds=None))
    if given.json:
        render.print_json(found)
    else:
        _show_check(found)
    if not found["ok"]:
        raise typer.Exit(1)


def _show_check(found: dict[str, Any]) -> None:
    for problem in found["problems"]:
        render.say(problem)
    if (left := found["problems_count"] - len(found["problems"])) > 0:
        render.say(f"and {left} more")
    render.say(
        f"{'verified' if found['ok'] else 'TAMPERED'}: {found['leaves']} leaves of"
        f" {found['writers']} writers under {found['heads']} heads, {found['unsealed']} not sealed"
        f" yet, {found['bodies_checked']} bodies checked, {found['bodies_absent']} absent"
    )
    if found["ok"]:
        render.say(
            "This is the database's own word. For proof, export the ledger and verify the file"
            " with a key and a head that you kept elsewhere."
        )


def _verify_file(given: Given, file: Path, public_key: str | None, since: list[Path]) -> int:
    from quarterdeck import verifier

    # The verifier's own command: whoever audits with the copied file sees the same.
    arguments = [str(file)]
    if public_key is not None:
        arguments += ["--public-key", public_key]
    for head in since:
        arguments += ["--since", str(head)]
    if given.json:
        arguments.append("--json")
    return verifier.main(arguments)


@command(app, "head", "ledger head > kept.note")
def head(given: Given) -> None:
    """Print the newest signed head.

    Keep it where the operators of the fleet cannot change it.
    """
    from quarterdeck.cli.client import ask

    found = ask(given, lambda api: api.get("/v1/ledger/head"))
    if given.json:
        render.print_json(found)
        return
    render.say(found["note"].rstrip("\n"))
    render.warn(f"\n{found['size']} leaves, signed {render.when(found['at'])} by")
    render.warn(found["public_key"])


@command(app, "prove", "ledger prove act_01k0…")
def prove(
    given: Given,
    subject: Annotated[
        str, typer.Argument(metavar="SUBJECT", help="Of an action, a run, a key…: its id.")
    ],
) -> None:
    """Prove what the ledger says about a subject."""
    from quarterdeck.cli.client import ask

    proof = ask(given, lambda api: api.get("/v1/ledger/proof", subject=subject))
    if given.json:
        render.print_json(proof)
        return
    for leaf in proof["leaves"]:
        hashes = len(leaf["proof"])
        render.fields(
            {
                "leaf": f"{leaf['index']} of {proof['size']}, {hashes} hashes below the root",
                "entry": leaf["data"],
                "body": leaf["body"] or "purged",
            }
        )
        render.say()
    render.fields({"root": proof["root"], "signed head": proof["head"]})
    render.say("\nThe hashes themselves, for checking without us: --json")


@command(app, "export", "ledger export ledger.jsonl")
def export(
    given: Given,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; a new file.")],
) -> None:
    """Write the ledger to a file, to verify offline."""
    from quarterdeck.cli.client import ask

    size = ask(given, lambda api: _export(api, file))
    if given.json:
        render.print_json({"file": str(file), "bytes": size})
    else:
        render.say(f"Wrote {size} bytes. Check them: quarterdeck ledger verify {file}")


async def _export(api: "Api", file: Path) -> int:
    from quarterdeck.domain.errors import Conflict, Unavailable

    draft = file.with_name(f".{file.name}.part")
    if file.exists():
        raise Conflict(f"`{file}` exists", hint="name a new file; an old export is evidence")
    try:
        with draft.open("wb") as writing:
            async for chunk in api.lines("/v1/ledger/export"):
                writing.write(chunk)
        draft.rename(file)
    except OSError as error:
        raise Unavailable(
            f"cannot write `{file}`: {error.strerror}", hint="name another"
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return file.stat().st_size
