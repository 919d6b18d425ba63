"""`quarterdeck exec`: any command becomes a governed agent for as long as it runs."""

import os
import signal
import subprocess
import sys
from types import FrameType
from typing import Annotated, Any, Final

import typer

from quarterdeck.cli import render
from quarterdeck.cli.options import Given, command
from quarterdeck.cli.runs import Input, read_input, start_external

NOT_FOUND: Final = 127
NOT_RUNNABLE: Final = 126
_FORWARDED: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT)
_FROM_TERMINAL: Final = (signal.SIGINT, signal.SIGQUIT)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app, "exec", "exec triage -- python my_agent.py")(execute)


def execute(
    given: Given,
    agent: Annotated[str, typer.Argument(metavar="AGENT", help="Whom it runs as.")],
    program: Annotated[list[str], typer.Argument(metavar="COMMAND", help="The command, after --.")],
    input: Input = "{}",
) -> None:
    """Run a command as a governed agent.

    It gets a run of its own, which ends with it. Its environment names our base URLs and the run's
    credential, so that its model calls pass the checkpoint. The exit status is the command's.
    """
    from quarterdeck.cli.client import ask

    body = {"agent": agent, "input": read_input(input)}
    gateway = given.settings().gateway_url
    started = ask(given, lambda api: start_external(api, body, gateway))
    render.warn(f"run {started['id']} of {started['agent']}")
    ended: dict[str, Any] = {
        "state": "failed",
        "because": "its command was not followed to its end",
    }
    try:
        status, because = follow(program, started["environment"])
        ended = {"state": "failed" if status else "succeeded", "because": because}
    finally:
        _end(given, started["id"], ended)
    if given.json:
        render.print_json({"id": started["id"], "status": status, **ended})
    raise typer.Exit(status)


def _end(given: Given, run: str, ended: dict[str, Any]) -> None:
    from quarterdeck.cli.client import ask
    from quarterdeck.cli.failures import ApiFailure

    try:
        ask(given, lambda api: api.post(f"/v1/runs/{run}/end", ended))
    except ApiFailure as failure:
        # Its program may have ended the run by itself; its own word stands.
        if failure.kind != "conflict":
            raise


def follow(program: list[str], environment: dict[str, str]) -> tuple[int, str]:
    """Run a program to its end, passing signals on: its exit status, and a sentence about it."""
    from quarterdeck import settings

    children: list[subprocess.Popen[bytes]] = []

    def forward(number: int, _: FrameType | None) -> None:
        # What is typed at a terminal reaches the whole foreground group: the child has it already.
        if children and not (number in _FROM_TERMINAL and _in_foreground()):
            children[0].send_signal(number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        children.append(subprocess.Popen(program, env=settings.for_program(environment)))  # noqa: S603  the user's own command
        code = children[0].wait()
    except FileNotFoundError:
        render.warn(f"error: no command `{program[0]}`")
        return NOT_FOUND, f"there is no command `{program[0]}`"
    except OSError as error:
        render.warn(f"error: cannot run `{program[0]}`: {error.strerror}")
        return NOT_RUNNABLE, f"the command `{program[0]}` cannot be run: {error.strerror}"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code < 0:
        return 128 - code, f"the command was ended by {signal.Signals(-code).name}"
    return code, f"the command ended with status {code}"


def _in_foreground() -> bool:
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError):
        return False
