"""Long lists on the command line: found by filters, printed as they come."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from benchmarks.history import Shape, Written, fill
from quarterdeck.domain.limits import PAGE_ROWS_MAX
from tests.cli.commands import QUARTERDECK, command, environment, up, write_fleet

LONG = 2 * PAGE_ROWS_MAX + 7


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Written]]:
    """A server over a history with a run of three pages."""
    folder = tmp_path_factory.mktemp("history")
    shape = Shape(actions=3_000, runs=60, longest=LONG, agents=6, days=1, sealed=False)
    written = uvloop.run(fill(folder / ".quarterdeck", shape, say=lambda _: None))
    with up(folder):
        yield folder, written


def test_a_run_is_listed_whole_and_in_order(history: tuple[Path, Written]) -> None:
    folder, written = history
    run = written.longest_run
    shown = command("runs", "show", run, "--json", folder=folder).json
    assert shown["actions"] == LONG
    for arguments in (("--run", run), (run,)):
        listed = command("actions", "list", *arguments, "--limit", "5000", folder=folder)
        lines = listed.out.splitlines()
        ids = [line.split()[0] for line in lines[1:]]
        assert lines[0].split()[0] == "action"
        assert len(ids) == LONG
        assert ids == sorted(ids)
        assert listed.err == ""
    said = command("actions", "list", run, "--limit", "5000", "--json", folder=folder).json
    assert [action["id"] for action in said["items"]] == ids
    assert said["next"] is None
    some = command("actions", "list", run, "--limit", "600", folder=folder)
    assert len(some.out.splitlines()) == 601
    assert "There are more" in some.err


def test_a_list_begins_before_it_has_ended(history: tuple[Path, Written]) -> None:
    """Goal: a list is printed page by page. Method: its reader goes away after the first lines."""
    folder, written = history
    arguments = ["actions", "list", written.longest_run, "--limit", "100000"]
    process = subprocess.Popen(
        [QUARTERDECK, *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        assert process.stdout.readline().startswith("action")
        process.stdout.close()
        assert process.wait(60) != 0
        assert process.stderr.read() == "", "quietly, as every program whose reader has gone"


def test_runs_are_found_by_filters_and_words(history: tuple[Path, Written]) -> None:
    folder, _ = history
    listed = command("runs", "list", "--state", "succeeded", "--json", folder=folder).json["items"]
    one = listed[3]

    def found(*arguments: str) -> list[str]:
        answer = command("runs", "list", *arguments, "--limit", "500", "--json", folder=folder)
        assert answer.status == 0, answer.err
        return [run["id"] for run in answer.json["items"]]

    assert one["id"] in found("--search", "answered", "--agent", one["agent"])
    assert found("--search", one["id"]) == [one["id"]]
    assert one["id"] in found("--correlation", one["correlation"])
    assert one["id"] in found("--team", one["team"], "--since", one["started_at"])
    assert one["id"] not in found("--until", one["started_at"])
    assert found("--having", "refused", "--state", "cancelled", "--agent", "nobody") == []
    wrong = command("runs", "list", "--state", "lost", folder=folder)
    assert (wrong.status, "`state`" in wrong.err) == (2, True)
    no_time = command("runs", "list", "--since", "tomorrow", folder=folder)
    assert no_time.status == 2
    assert "is not a time" in no_time.err
    notable = command("actions", "list", "--state", "refused", "--json", folder=folder).json
    assert {action["state"] for action in notable["items"]} == {"refused"}


def test_apply_can_expect_the_fleet_it_was_made_for(tmp_path: Path) -> None:
    fleet = write_fleet(tmp_path)
    with up(tmp_path, "--fleet", str(fleet)):
        write_fleet(tmp_path, agent_cap="40")
        tried = command("apply", fleet, "--dry-run", folder=tmp_path)
        said = tried.out.rpartition("--expect ")[2].strip()
        assert said.startswith("flt_")
        write_fleet(tmp_path, agent_cap="30")
        assert command("apply", fleet, folder=tmp_path).status == 0, "somebody else was faster"
        write_fleet(tmp_path, agent_cap="40")
        late = command("apply", fleet, "--expect", said, folder=tmp_path)
        assert late.status == 6
        assert "lowered to 30.00 USD" in late.err
        seen = json.loads(command("apply", fleet, "--dry-run", "--json", folder=tmp_path).out)
        assert seen["changes"] != [], "nothing was overwritten"
