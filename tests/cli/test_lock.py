"""One process holds a data folder, and says who it is."""

import subprocess
import sys
from pathlib import Path

import pytest

from quarterdeck.cli import lock
from quarterdeck.cli.lock import Held, Server
from quarterdeck.domain.errors import Unavailable

SERVER = Server(url="http://127.0.0.1:7700", token="secret", pid=4711)
HOLD = """
import sys
from pathlib import Path
from quarterdeck.cli import lock
with lock.held(Path(sys.argv[1])):
    lock.announce(Path(sys.argv[1]), lock.Server(url="http://127.0.0.1:7700", token="t", pid=4711))
    print("held", flush=True)
    sys.stdin.read()
"""


def holding(folder: Path) -> "subprocess.Popen[str]":
    """Another process that holds the folder until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_has_the_folder(tmp_path: Path) -> None:
    with holding(tmp_path) as process:
        with pytest.raises(Held) as refused, lock.held(tmp_path):
            pass
        assert "process 4711, serving http://127.0.0.1:7700" in refused.value.message
        assert "kill 4711" in refused.value.hint
        assert refused.value.server is not None
        process.communicate()
    with lock.held(tmp_path):
        assert lock.find_server(tmp_path) is None


def test_a_killed_process_leaves_nothing_that_must_be_cleaned_up(tmp_path: Path) -> None:
    with holding(tmp_path) as process:
        process.kill()
        process.communicate()
    assert lock.find_server(tmp_path) is not None, "its note is still there"
    with lock.held(tmp_path):
        assert lock.find_server(tmp_path) is None, "and counts for nothing"


def test_a_folder_held_by_a_command_is_waited_for_and_then_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "WAIT_SECONDS", 0.2)
    with holding(tmp_path) as process:
        lock.withdraw(tmp_path)
        with pytest.raises(Held) as refused, lock.held(tmp_path):
            pass
        assert refused.value.server is None
        process.communicate()


def test_the_note_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    lock.announce(tmp_path, SERVER)
    note = tmp_path / lock.SERVER_FILE
    assert note.stat().st_mode & 0o777 == 0o600
    assert lock.find_server(tmp_path) == SERVER
    assert [path.name for path in tmp_path.iterdir()] == [lock.SERVER_FILE]


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"url": "x", "token": "t", "pid": "p"}'])
def test_a_broken_note_names_nobody(tmp_path: Path, body: str) -> None:
    (tmp_path / lock.SERVER_FILE).write_text(body)
    assert lock.find_server(tmp_path) is None


def test_a_folder_that_cannot_be_used_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(Unavailable, match="cannot use the data folder"),
        lock.held(tmp_path / "file"),
    ):
        pass
