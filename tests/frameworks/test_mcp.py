"""MCP clients, unmodified: the frameworks' own and the `mcp` SDK's, with tools behind the gateway.

The programs hold no tool: they find them at `/mcp`, and every call of one is an action of the run.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.stage import ANSWER, EXAMPLES, THIS, Stage, python_of, staged

pytestmark = pytest.mark.timeout(240)

TOOLS = "look_up_order, file_note"
MODEL, TOOL = ("model", "enforced", "done"), ("tool", "enforced", "done")
LOOKED_UP = "order 7: left on Friday, due on Monday, not delivered"
FILED = "filed: order 7: late since Monday"
CLIENTS = [
    ("claude-agent-sdk", ["standin-2"]),
    ("langgraph", ["openai:standin-1"]),
    ("openai-agents", ["standin-1"]),
    ("pydantic-ai", ["openai-chat:standin-1"]),
    ("semantic-kernel", ["standin-1"]),
]


@pytest.mark.frameworks
@pytest.mark.parametrize(("framework", "args"), CLIENTS, ids=[name for name, _ in CLIENTS])
async def test_an_agent_finds_its_tools_at_the_gateway_and_calls_them(
    framework: str, args: list[str], tmp_path: Path
) -> None:
    """The example does its job, and the tools it called are on record with what they said."""
    program = EXAMPLES / framework / "mcp_agent.py"
    async with staged(tmp_path, grants=TOOLS, of="mcp-fleet") as stage:
        ended = await stage.play(python_of(framework), str(program), *args)
        assert (ended.status, ended.out.strip()) == (0, ANSWER), ended.err[-4000:]
        rows = await stage.check_accounts()
        said = [(row["kind"], row["mark"], row["state"]) for row in rows]
        assert said == [MODEL, TOOL, MODEL, TOOL, MODEL]
        assert [row["target"] for row in rows if row["kind"] == "tool"] == [
            "look_up_order",
            "file_note",
        ]
        assert await arguments(stage, rows[3]) == {"order": 7, "text": "late since Monday"}
        assert FILED in stage.last_request()


@pytest.mark.frameworks
@pytest.mark.parametrize(("framework", "args"), CLIENTS, ids=[name for name, _ in CLIENTS])
async def test_a_tool_that_is_not_granted_is_not_there(
    framework: str, args: list[str], tmp_path: Path
) -> None:
    """Neither listed nor called: the model is never offered it, and nothing happens."""
    program = EXAMPLES / framework / "mcp_agent.py"
    async with staged(tmp_path, grants="look_up_order", of="mcp-fleet") as stage:
        await stage.play(python_of(framework), str(program), *args)
        rows = await stage.actions()
        assert [row["target"] for row in rows if row["kind"] == "tool"] == ["look_up_order"]
        assert "file_note" not in stage.last_request()


@pytest.mark.parametrize("mode", ["auto", "legacy", "2026-07-28"])
async def test_the_mcp_sdk_lists_and_calls_in_both_eras(mode: str, tmp_path: Path) -> None:
    program = EXAMPLES / "mcp" / "client.py"
    async with staged(tmp_path, grants=TOOLS, of="mcp-fleet") as stage:
        ended = await stage.play(THIS, str(program), mode)
        told = ["tools: file_note, look_up_order", LOOKED_UP, FILED]
        assert (ended.status, ended.out.splitlines()) == (0, told), ended.err[-4000:]
        rows = await stage.actions()
        assert [(row["kind"], row["mark"], row["state"]) for row in rows] == [TOOL, TOOL]
        assert await arguments(stage, rows[0]) == {"order": 7}


async def arguments(stage: Stage, row: dict[str, Any]) -> Any:
    """What a tool was called with, as it is on record."""
    return (await stage.shown(row))[0]
