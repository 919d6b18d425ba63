"""The gateways we are measured beside: pinned, and red where they are absent."""

import json
import re
import sys
from pathlib import Path

import pytest

from benchmarks.comparison import __main__ as comparison
from benchmarks.comparison import wire
from benchmarks.comparison.report import Cell, judge
from benchmarks.comparison.wire import Target, Wrong, check_wire
from benchmarks.open_loop import Steady
from benchmarks.peers import environments, processes
from benchmarks.peers.environments import Absent
from benchmarks.processes import upstream

HOST = re.compile(r"https?:|file:|--(extra-)?index|--find-links", re.IGNORECASE)


def test_the_locks_pin_everything_and_name_no_host() -> None:
    lock = environments.LITELLM_LOCK.read_text(encoding="utf-8")
    assert not HOST.search(lock)
    pinned = [line for line in lock.splitlines() if "==" in line and not line.startswith(" ")]
    assert len(pinned) > 50
    assert lock.count("--hash=sha256:") >= len(pinned)
    tree = json.loads((environments.HERE / "portkey" / "package-lock.json").read_text())
    packages = {path: found for path, found in tree["packages"].items() if path}
    assert all("integrity" in found and "resolved" not in found for found in packages.values())
    assert not HOST.search(json.dumps(tree))


def test_what_is_locked_is_what_is_asked_for() -> None:
    versions = environments.versions()
    lock = environments.LITELLM_LOCK.read_text(encoding="utf-8")
    assert f"\nlitellm=={versions['litellm']} \\" in lock
    tree = json.loads((environments.HERE / "portkey" / "package-lock.json").read_text())
    found = tree["packages"]["node_modules/@portkey-ai/gateway"]["version"]
    assert found == versions["portkey"]


def test_an_absent_peer_ends_the_comparison_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(environments, "LITELLM", environments.ROOT / ".tools" / "no-such-peer")
    with pytest.raises(SystemExit) as ended:
        comparison.main(["--quick"])
    assert ended.value.code == 2
    assert "LiteLLM's proxy is not installed" in (said := capsys.readouterr().err)
    assert "run: make peers" in said


def test_a_peer_older_than_its_lock_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = tmp_path / environments.PORTKEY_START
    start.parent.mkdir(parents=True)
    start.write_text("")
    (tmp_path / ".locked").write_text("another lock")
    monkeypatch.setattr(environments, "PORTKEY", tmp_path)
    with pytest.raises(Absent, match="not what its lock file says; run: make peers"):
        environments.portkey_command()


def test_a_peer_that_does_not_start_is_told_with_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", "print('no such thing as a config'); raise SystemExit(3)"]
    monkeypatch.setattr(processes, "litellm_command", lambda: command)
    told = r"(?s)did not start \(status 3\).*no such thing as a config"
    with pytest.raises(Absent, match=told), processes.litellm(9):
        raise AssertionError("nothing answers")


async def test_the_content_of_every_answer_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    with upstream() as port:
        target = Target(name="direct", port=port)
        await check_wire(target)
        monkeypatch.setattr(wire, "USAGE", (120, 91, 211))
        with pytest.raises(Wrong, match="direct: the usage is"):
            await check_wire(target)


@pytest.mark.parametrize(
    ("ours", "litellm", "met"), [(1000.0, 90.0, [True, True]), (880.0, 90.0, [False, True])]
)
def test_the_targets_are_judged_by_what_was_measured(
    ours: float, litellm: float, met: list[bool]
) -> None:
    rates = {"direct": 9000.0, "Quarterdeck, governed": ours, "LiteLLM": litellm, "Portkey": 700.0}
    added = {"direct": 0.0, "Quarterdeck, governed": 0.4, "LiteLLM": 6.0, "Portkey": 0.5}
    row = {
        name: Cell(
            per_second=rate, p50_ms=1, p99_ms=2, first_byte_ms=1, added_p50_ms=added[name],
            cpu_us=None,
        )
        for name, rate in rates.items()
    }  # fmt: skip
    cells = {(streamed, at_once): row for streamed in (False, True) for at_once in (1, 16)}
    steadies: dict[int, dict[str, Steady | None]] = {
        100: dict.fromkeys(rates, Steady(1, [1.0], [0.0], 0))
    }
    assert [one["met"] for one in judge(cells, steadies)] == met
