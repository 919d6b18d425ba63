"""The command `quarterdeck`: one file per noun, every command a client of the API.

Heavy imports happen inside the commands, so that `--help` is there at once.
"""

import sys
from pathlib import Path

import typer

from quarterdeck.cli import (
    actions,
    agents,
    approvals,
    backups,
    blast_radius,
    console,
    costs,
    execute,
    fleet,
    health,
    keys,
    ledger,
    plans,
    runs,
    secrets,
    serve,
    servers,
    suggestions,
    tools,
)
from quarterdeck.cli.options import DataFolder, Given, Json, Token, Url

app = typer.Typer(
    name="quarterdeck",
    help="The control plane for fleets of AI agents.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example:  quarterdeck init my-fleet && quarterdeck up --fleet my-fleet",
)


@app.callback()
def _quarterdeck(
    ctx: typer.Context,
    url: Url = None,
    token: Token = None,
    data: DataFolder = None,
    json: Json = False,
) -> None:
    """The control plane for fleets of AI agents."""
    ctx.obj.take(url=url, token=token, data=data, json=json)


for noun in (
    serve,
    fleet,
    execute,
    blast_radius,
    costs,
    backups,
    health,
    console,
):
    noun.add_to(app)
for name, group in (
    ("agents", agents.app),
    ("keys", keys.app),
    ("runs", runs.app),
    ("actions", actions.app),
    ("approvals", approvals.app),
    ("suggestions", suggestions.app),
    ("plans", plans.app),
    ("secrets", secrets.app),
    ("tools", tools.app),
    ("servers", servers.app),
    ("ledger", ledger.app),
):
    app.add_typer(group, name=name)


def run() -> None:
    """The entry point: runs one command and exits with its status."""
    if not __debug__:
        sys.exit("error: quarterdeck does not run under `python -O`: its checks would be left out")
    given = Given()
    try:
        app(obj=given)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        _close_quietly()
        sys.exit(141)
    except Exception as error:
        from quarterdeck.domain.errors import QuarterdeckError

        if not isinstance(error, QuarterdeckError):
            raise
        from quarterdeck.cli import failures

        sys.exit(failures.show(error, given))


def _close_quietly() -> None:
    """What reads our output has gone; do not fail again when Python flushes it at exit."""
    sys.stdout = Path("/dev/null").open("w", encoding="utf-8")  # noqa: SIM115  until exit


if __name__ == "__main__":
    run()
