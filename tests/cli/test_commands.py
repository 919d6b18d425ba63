"""Each command end to end in a real process, with its exit status; JSON is the API's body."""

import asyncio
import json
import os
import pty
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from quarterdeck.cli.lock import find_server
from tests.cli.commands import QUARTERDECK, command, environment, up, write_fleet
from tests.serving import upstream

ANSWER = {"rules": [{"model": "small-1", "answer": {"text": "all \x1b[31mdone\u202e"}}]}


def test_from_nothing_to_a_fleet_in_force_without_a_server(tmp_path: Path) -> None:
    made = command("init", "mine", folder=tmp_path)
    assert made.status == 0
    assert "mine/fleet.yaml" in made.out
    assert command("init", "mine", folder=tmp_path).status == 6, "nothing is written over"
    assert command("check", "mine", folder=tmp_path).status == 0
    first = command("apply", "mine", folder=tmp_path)
    assert first.status == 0
    assert "agent assistant added: autonomy L1" in first.out
    again = command("apply", "mine", "--json", folder=tmp_path)
    assert again.json["changes"] == []
    here = command("check", "--json", folder=tmp_path / "mine")
    assert here.json["agents"] == ["assistant"]


def test_check_names_each_problem_by_file_line_and_field(tmp_path: Path) -> None:
    fleet = write_fleet(tmp_path)
    agent = fleet / "agents" / "clerk.yaml"
    agent.write_text(agent.read_text().replace("autonomy: L2", "autonomy: L9\ncolour: red"))
    checked = command("check", fleet, folder=tmp_path)
    assert checked.status == 1
    problems = checked.out.splitlines()
    assert any(line.startswith("agents/clerk.yaml:6: autonomy: ") for line in problems), problems
    assert any(
        line.startswith("agents/clerk.yaml:7: unknown field `colour`") for line in problems
    ), problems
    assert all(" — " in line for line in problems), "each says what to write instead"
    assert "2 problems" in checked.err
    said = command("check", fleet, "--json", folder=tmp_path)
    assert said.status == 1
    assert [problem["line"] for problem in said.json["problems"]] == [6, 7]
    assert command("apply", fleet, folder=tmp_path).status == 1
    assert not (tmp_path / ".quarterdeck").exists(), "nothing was touched"


async def test_a_run_from_start_to_ledger(tmp_path: Path) -> None:
    async with upstream(ANSWER) as (url, _):
        await asyncio.to_thread(_run_and_look, tmp_path, url)


def _run_and_look(folder: Path, url: str) -> None:
    fleet = write_fleet(folder, base_url=url)
    with up(folder, "--fleet", str(fleet)) as server:
        (folder / "given.json").write_text('{"text": "hello"}')
        done = command("runs", "start", "clerk", "--input", "given.json", folder=folder)
        assert done.status == 0, done.err
        assert "succeeded" in done.out
        assert "\x1b" not in done.out
        assert "\u202e" not in done.out
        piped = command(
            "runs", "start", "clerk", "--input", "-", "--json", folder=folder, given='{"n": 2}'
        )
        run = piped.json["id"]
        assert piped.json["result"]["text"] == "all \x1b[31mdone\u202e"
        assert "\\u001b" in piped.out
        assert "\u202e" not in piped.out

        remote = ["--url", server.url, "--token", server.token]
        listed = command(*remote, "runs", "list", "--json", folder=folder.parent).json
        assert listed["items"][0]["id"] == run
        shown = command("runs", "show", run, *remote, "--json", folder=folder.parent).json
        assert shown["input"] == {"n": 2}
        table = command("runs", "list", folder=folder).out.splitlines()
        assert table[0].split()[:3] == ["run", "agent", "state"]
        assert " UTC " in table[1], "times are local, with their zone"

        actions = command("actions", "list", run, "--json", folder=folder).json["items"]
        assert [a["kind"] for a in actions] == ["model"]
        text = command("actions", "show", actions[0]["id"], folder=folder).out
        assert "grant:model:main" in text
        assert command("actions", "in-doubt", folder=folder).out == "Nothing is in doubt.\n"
        costs = command("costs", "--by", "agent,day", "--json", folder=folder).json
        assert costs["items"][0]["actions"] == 2
        budgets = command("budgets", "agent:clerk", folder=folder).out
        assert "50.00" in budgets
        _ledger(folder, run)


def _ledger(folder: Path, run: str) -> None:
    head = command("ledger", "head", folder=folder)
    (folder / "kept.note").write_text(head.out)
    key = command("ledger", "head", "--json", folder=folder).json["public_key"]
    assert key in head.err
    assert run in command("ledger", "prove", run, folder=folder).out
    checked = command("ledger", "verify", folder=folder)
    assert checked.status == 0, checked.out
    assert checked.out.startswith("verified: ")
    assert command("ledger", "export", "l.jsonl", folder=folder).status == 0
    assert command("ledger", "export", "l.jsonl", folder=folder).status == 6
    words = ["ledger", "verify", "l.jsonl", "--public-key", key, "--since", "kept.note"]
    good = command(*words, folder=folder)
    assert good.status == 0, good.out + good.err
    assert "unchanged since the head you kept" in good.out
    exported = folder / "l.jsonl"
    exported.write_text(
        exported.read_text().replace('\\"state\\":\\"succeeded\\"', '\\"state\\":\\"failed\\"')
    )
    bad = command(*words, folder=folder)
    assert bad.status == 1
    assert "TAMPERED" in bad.out
    assert command("ledger", "verify", "given.json", folder=folder).status == 2


def test_a_backup_is_restored_and_the_ledger_says_so(tmp_path: Path) -> None:
    fleet = write_fleet(tmp_path)
    command("apply", fleet, folder=tmp_path)
    made = command("backup", "copy.db", folder=tmp_path)
    assert made.status == 0, made.err
    command("keys", "issue", "clerk", folder=tmp_path)
    assert len(command("keys", "list", "--json", folder=tmp_path).json["items"]) == 1
    restored = command("restore", "copy.db", "--json", folder=tmp_path)
    assert restored.status == 0, restored.err
    assert Path(tmp_path, restored.json["kept"]).exists()
    assert command("keys", "list", "--json", folder=tmp_path).json["items"] == []
    assert command("ledger", "verify", folder=tmp_path).status == 0
    proved = command("ledger", "prove", restored.json["incarnation"], folder=tmp_path)
    assert "copy.db" in proved.out


def test_keys_and_secrets_by_hand(tmp_path: Path) -> None:
    with up(tmp_path, "--fleet", str(write_fleet(tmp_path))):
        issued = command("keys", "issue", "clerk", "--days", "3", "--json", folder=tmp_path).json
        rotated = command("keys", "rotate", issued["id"], "--overlap-hours", "1", folder=tmp_path)
        assert "qdk_" in rotated.out
        assert "not shown again" in rotated.err
        assert command("keys", "revoke", issued["id"], folder=tmp_path).status == 0
        listed = command("keys", "list", folder=tmp_path).out
        assert "revoked" in listed
        assert issued["secret"] not in listed
        value = "sk-0123456789abcdef"
        assert command("secrets", "set", "K", folder=tmp_path, given=f"{value}\n").status == 0
        shown = command("secrets", "list", folder=tmp_path)
        assert "K" in shown.out
        assert value not in shown.out
        assert command("secrets", "set", "K", folder=tmp_path, given="").status == 2
        turned = command(
            "secrets", "rotate", "K", "--overlap-hours", "1", folder=tmp_path, given="another\n"
        )
        assert turned.out == "Rotated K.\n"
        listed = command("secrets", "list", folder=tmp_path).out
        assert "old value until" in listed
        assert "another" not in listed
        assert command("secrets", "remove", "K", folder=tmp_path).status == 0
        assert "No secrets." in command("secrets", "list", folder=tmp_path).out


def test_a_secret_typed_at_a_terminal_is_not_shown(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [QUARTERDECK, "secrets", "set", "K"],
        cwd=tmp_path,
        env=environment(),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    until = time.monotonic() + 60
    while termios.tcgetattr(master)[3] & termios.ECHO:  # what is typed before would be dropped
        assert time.monotonic() < until
        time.sleep(0.01)
    seen = b""
    os.write(master, b"sk-typed-by-hand\n")
    try:
        while chunk := os.read(master, 1024):
            seen += chunk
    except OSError:  # the other end is closed
        pass
    assert process.wait(60) == 0
    os.close(master)
    assert b"Value of K" in seen
    assert b"Set K." in seen
    assert b"sk-typed" not in seen


EMPTY = [
    (["agents", "list"], "quarterdeck init"),
    (["keys", "list"], "quarterdeck keys issue"),
    (["runs", "list"], "quarterdeck runs start"),
    (["secrets", "list"], "quarterdeck secrets set"),
    (["costs"], "Nothing was charged"),
    (["budgets"], "Nothing was held or charged"),
]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a server in which nothing has happened yet; tests only look."""
    folder = tmp_path_factory.mktemp("empty")
    with up(folder):
        yield folder


@pytest.mark.parametrize(("words", "says"), EMPTY, ids=[" ".join(words) for words, _ in EMPTY])
def test_an_empty_place_says_what_to_do_next(empty: Path, words: list[str], says: str) -> None:
    shown = command(*words, folder=empty)
    assert shown.status == 0
    assert says in shown.out


STATUSES = [
    (["runs", "show", "run_x"], 5, "not_found"),
    (["agents", "show", "../../etc"], 5, "not_found"),
    (["keys", "revoke", "key_x"], 5, "not_found"),
    (["costs", "--by", "colour"], 2, "invalid"),
    (["runs", "start", "x", "--input", "[1]"], 2, "invalid"),
    (["runs", "start", "x", "--input", "no-such-file"], 2, "invalid"),
    (["--url", "http://127.0.0.1:9", "runs", "list"], 3, "unavailable"),
    (["--url", "ftp://x", "runs", "list"], 2, "invalid"),
]


@pytest.mark.parametrize(
    ("words", "status", "code"), STATUSES, ids=[" ".join(w) for w, _, _ in STATUSES]
)
def test_what_goes_wrong_has_a_status_and_two_lines(
    empty: Path, words: list[str], status: int, code: str
) -> None:
    told = command(*words, folder=empty)
    assert told.status == status, told.err
    assert told.out == ""
    lines = told.err.splitlines()
    assert lines[0].startswith("error: ")
    assert lines[-1].startswith("hint: ")
    said = command(*words, "--json", folder=empty)
    assert said.status == status
    assert said.err == ""
    assert said.json["error"]["code"] == code


def test_a_server_says_no_to_a_stranger(empty: Path) -> None:
    server = find_server(empty / ".quarterdeck")
    assert server is not None
    for token in ([], ["--token", "wrong"]):
        told = command("runs", "list", "--url", server.url, *token, folder=empty)
        assert told.status == 4
    elsewhere = command("runs", "list", "--url", f"{server.url}/console", folder=empty)
    assert elsewhere.status == 3
    assert "not Quarterdeck" in elsewhere.err


def test_an_unknown_setting_is_refused_and_the_exported_ones_are_not(empty: Path) -> None:
    told = command("runs", "list", folder=empty, env={"QUARTERDECK_PROT": "1"})
    assert told.status == 2
    assert "`QUARTERDECK_PROT`" in told.err
    exported = {"QUARTERDECK_RUN": "run_x", "QUARTERDECK_CREDENTIAL": "qdr_x"}
    assert command("runs", "list", folder=empty, env=exported).status == 0


def test_the_data_folder_can_be_named_before_and_after_the_command(tmp_path: Path) -> None:
    command("keys", "list", "--data", "here", folder=tmp_path)
    command("--data", "there", "keys", "list", folder=tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"here", "there"}
    assert (tmp_path / "here").stat().st_mode & 0o777 == 0o700


def test_doctor_and_version(tmp_path: Path) -> None:
    command("apply", write_fleet(tmp_path), folder=tmp_path)
    seen = command("doctor", folder=tmp_path)
    assert seen.status == 0, seen.out
    assert "ledger witness" in seen.out
    (tmp_path / ".quarterdeck" / "master.key").chmod(0o644)
    assert command("doctor", folder=tmp_path).status == 2, "refused before anything is opened"
    version = command("version", "--json", folder=tmp_path)
    assert list(json.loads(version.out)) == ["version"]


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    command("init", "mine", folder=tmp_path)
    piped = subprocess.run(
        ["bash", "-c", f"{QUARTERDECK} --help | head -c 1; echo ${{PIPESTATUS[0]}}"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in piped.stderr
