"""`quarterdeck exec` and `runs start --external`: any program becomes a governed agent."""

import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import QUARTERDECK, Server, command, environment, up, write_fleet


def last_run(folder: Path) -> Any:
    """The newest run."""
    return command("runs", "list", "--json", folder=folder).json["items"][0]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the fleet of the tests; each test looks at its own runs."""
    folder = tmp_path_factory.mktemp("served")
    with up(folder, "--fleet", str(write_fleet(folder))) as server:
        yield server


def test_a_command_gets_our_addresses_and_its_status_is_the_runs_end(served: Server) -> None:
    show = (
        "import os; e = os.environ;"
        "print(e['OPENAI_BASE_URL'], e['ANTHROPIC_BASE_URL'], e['QUARTERDECK_URL']);"
        "print(e['OPENAI_API_KEY'] == e['ANTHROPIC_API_KEY'] == e['QUARTERDECK_CREDENTIAL']);"
        "print(e['QUARTERDECK_RUN']);"
        "print('QUARTERDECK_TOKEN' in e, 'QUARTERDECK_SECRET_K' in e)"
    )
    secret = {"QUARTERDECK_TOKEN": "mine", "QUARTERDECK_SECRET_K": "sk-1"}
    done = command("exec", "clerk", "--", "python3", "-c", show, folder=served.folder, env=secret)
    assert done.status == 0, done.err
    addresses, same, run, inherited = done.out.splitlines()
    url = served.url
    assert addresses == f"{url}/openai/v1 {url}/anthropic {url}"
    assert same == "True"
    assert inherited == "False False", "what its starter may do is not passed on"
    found = last_run(served.folder)
    assert (found["id"], found["state"], found["kind"]) == (run, "succeeded", "external")
    assert found["because"] == "the command ended with status 0"


def test_a_command_that_fails_fails_its_run_with_its_own_status(served: Server) -> None:
    done = command("exec", "clerk", "--json", "--", "sh", "-c", "exit 7", folder=served.folder)
    assert done.status == 7
    assert (done.json["state"], done.json["status"]) == ("failed", 7)
    assert last_run(served.folder)["because"] == "the command ended with status 7"
    missing = command("exec", "clerk", "--", "no-such-command", folder=served.folder)
    assert missing.status == 127
    assert "no command `no-such-command`" in missing.err
    assert last_run(served.folder)["state"] == "failed"


def test_options_of_the_command_are_its_own(served: Server) -> None:
    code = "import sys; print(sys.argv[1:])"
    program = ["--", "python3", "-c", code, "--json", "--", "-x"]
    done = command("exec", "clerk", "--input", '{"n": 1}', *program, folder=served.folder)
    assert done.out == "['--json', '--', '-x']\n"
    run = last_run(served.folder)["id"]
    assert command("runs", "show", run, "--json", folder=served.folder).json["input"] == {"n": 1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_reaches_the_command_and_ends_the_run(
    served: Server, tmp_path: Path, number: int
) -> None:
    ready = tmp_path / "ready"
    code = f"import time, pathlib; pathlib.Path({str(ready)!r}).touch(); time.sleep(60)"
    process = subprocess.Popen(
        [QUARTERDECK, "exec", "clerk", "--", "python3", "-c", code],
        cwd=served.folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + 30
    while not ready.exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(30) in (128 + number, 1), "Python itself ends with 1 at a Ctrl-C"
    assert last_run(served.folder)["state"] == "failed"


def test_inside_a_run_the_command_line_has_its_credential_only(served: Server) -> None:
    inside = command("exec", "clerk", "--", QUARTERDECK, "runs", "list", folder=served.folder)
    assert inside.status == 4
    assert "a run's credential may end its own run" in inside.err
    script = f'{QUARTERDECK} runs end "$QUARTERDECK_RUN" --state escalated --because asked'
    ended = command("exec", "clerk", "--", "sh", "-c", script, folder=served.folder)
    assert ended.status == 0, ended.err
    assert last_run(served.folder)["state"] == "escalated", "its own word stands"


def test_without_a_server_it_says_how_to_start_one(tmp_path: Path) -> None:
    assert command("apply", write_fleet(tmp_path), folder=tmp_path).status == 0
    for words in (["exec", "clerk", "--", "true"], ["runs", "start", "clerk", "--external"]):
        refused = command(*words, folder=tmp_path)
        assert refused.status == 3
        assert "quarterdeck up" in refused.err
    assert command("runs", "list", "--json", folder=tmp_path).json["items"] == []


def test_an_external_run_prints_what_to_export(served: Server) -> None:
    shown = command("runs", "start", "clerk", "--external", folder=served.folder)
    assert shown.status == 0
    lines = shown.out.strip().splitlines()
    assert all(line.startswith("export ") for line in lines), "fit for `eval`"
    assert f"export OPENAI_BASE_URL={served.url}/openai/v1" in lines
    said = command("runs", "start", "clerk", "--external", "--json", folder=served.folder).json
    assert said["environment"]["ANTHROPIC_API_KEY"] == said["credential"]
    assert said["state"] == "running"
    ended = command("runs", "end", said["id"], "--because", "done", folder=served.folder)
    assert ended.status == 0
    assert last_run(served.folder)["because"] == "done"
