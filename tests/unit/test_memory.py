"""What is kept takes the memory it needs, and what is freed goes back."""

import ctypes
import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from quarterdeck.checkpoint.bindings import Binding
from quarterdeck.fleet import contracts, template
from quarterdeck.fleet.load import load
from quarterdeck.gateways.mcp.callers import McpCaller
from quarterdeck.gateways.mcp.listing import ToolListing
from quarterdeck.loops.give_back_memory import give_back_memory

TOOLS = 200
SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "string"}, "why": {"type": "string"}},
    "required": ["order"],
}
FOLDER = {
    path: text.encode()
    for path, text in template.contents().items()
    if not path.startswith("schemas/")
}


@pytest.fixture
def traced() -> Iterator[None]:
    """Every allocation of Python's is counted."""
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


def many_tools() -> dict[str, bytes]:
    """The template's folder, with a server of many tools."""
    files = dict(FOLDER)
    server = {"name": "desk", "protocol": "mcp", "url": "http://127.0.0.1:9/mcp"}
    files["servers/desk.yaml"] = json.dumps(server).encode()
    for number in range(TOOLS):
        tool: dict[str, Any] = {
            "name": f"desk_{number}",
            "description": "Says how an order is.",
            "arguments": SCHEMA,
            "effect": "read",
            "mcp": {"server": "desk", "tool": f"look_up_{number}", "pin": f"sha256:{number:064}"},
        }
        files[f"tools/desk_{number}.yaml"] = json.dumps(tool).encode()
    return files


def test_reading_a_fleet_takes_little_more_memory_than_keeping_it(traced: None) -> None:
    files = many_tools()
    load(FOLDER)  # what is made once, at the first fleet of a process
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    fleet = load(files)
    after, peak = tracemalloc.get_traced_memory()
    assert len(fleet.tools) > TOOLS
    assert peak - before < 1.5 * (after - before)


def test_a_listed_tool_is_kept_in_little_more_than_its_bytes(traced: None) -> None:
    fleet = load(FOLDER)
    (agent,) = fleet.agents.values()
    tool = fleet.tools["find_article"]  # type: ignore[index]  # a literal name
    nobody = cast(Any, None)  # a tool without a server asks no catalog
    listing = ToolListing(catalog=nobody, checkpoint=nobody)
    binding = Binding(agent=agent, fleet=fleet)
    caller = McpCaller(credential="", identity=nobody, binding=binding, server=None)
    before, _ = tracemalloc.get_traced_memory()
    written = 0
    for number in range(TOOLS):
        piece = listing.piece(caller, replace(tool, digest=f"tool_{number}"))
        assert piece is not None
        written += len(piece[0])
    after, _ = tracemalloc.get_traced_memory()
    assert after - before < written + TOOLS * 500


def test_no_more_contracts_are_kept_compiled_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(contracts, "COMPILED_MAX", 3)
    monkeypatch.setattr(contracts, "_ARGUMENTS", {})
    tool = load(FOLDER).tools["find_article"]  # type: ignore[index]  # a literal name
    for number in range(5):
        one = replace(tool, digest=f"tool_{number}")
        assert contracts.arguments_misfit(one, {"word": "flag"}, b'{"word":"flag"}') is None
    assert list(contracts._ARGUMENTS) == ["tool_2", "tool_3", "tool_4"]


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library is not glibc"
)
async def test_what_was_freed_below_what_is_used_goes_back_to_the_system() -> None:
    # Too large for Python's own pools, too small for a mapping of its own.
    freed = [bytearray(4000) for _ in range(20_000)]
    used = [bytearray(4000) for _ in range(100)]
    freed.clear()
    before = resident()
    await give_back_memory()
    assert before - resident() > 40_000_000
    assert len(used) == 100


def resident() -> int:
    """Resident memory in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def test_a_process_on_sqlite_does_not_load_the_driver_of_postgresql() -> None:
    asked = "import sys, quarterdeck.assembly; print('psycopg' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True, text=True)
    assert said.stdout.strip() == "False"
