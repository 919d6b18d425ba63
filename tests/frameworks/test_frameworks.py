"""Frameworks, unmodified, each in its own environment: `make test-frameworks` sets them up.

An environment that is missing is a failure here, never a skip.
"""

from pathlib import Path

import pytest

from tests.frameworks import scenes
from tests.frameworks.stage import ANSWER, python_of, staged

pytestmark = [pytest.mark.frameworks, pytest.mark.timeout(240)]

STREAMED = Path(__file__).parent / "streamed"
#: Which frameworks stop when a tool is refused; the others tell the model.
STOPPING = ["langgraph", "pydantic-ai"]
TELLING = ["openai-agents", "semantic-kernel", "crewai", "claude-agent-sdk"]
RULE = "`file_note` was refused: default:tool"


@pytest.mark.parametrize(
    ("framework", "args"),
    [
        ("langgraph", ["openai:standin-1"]),
        ("langgraph", ["anthropic:standin-2"]),
        ("openai-agents", ["standin-1", "chat_completions"]),
        ("openai-agents", ["standin-1", "responses"]),
        ("pydantic-ai", ["openai-chat:standin-1"]),
        ("pydantic-ai", ["openai-responses:standin-1"]),
        ("pydantic-ai", ["anthropic:standin-2"]),
        ("semantic-kernel", ["standin-1"]),
        ("crewai", ["standin-1"]),
        ("claude-agent-sdk", ["standin-2"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
async def test_the_example_does_its_job_and_all_of_it_is_on_record(
    framework: str, args: list[str], tmp_path: Path
) -> None:
    await scenes.job_is_done(tmp_path, framework, python_of(framework), *args)


@pytest.mark.parametrize(
    ("framework", "model", "raises"),
    [
        ("langgraph", "openai:nope", "OpenAIPermissionDeniedError: Error code: 403"),
        ("openai-agents", "nope", "openai.PermissionDeniedError: Error code: 403"),
        ("pydantic-ai", "openai-chat:nope", "ModelAuthenticationError: status_code: 403"),
        ("semantic-kernel", "nope", "ServiceResponseException: "),
        ("crewai", "nope", "openai.PermissionDeniedError: Error code: 403"),
        ("claude-agent-sdk", "nope", "ResultError: "),
    ],
)
async def test_a_refused_model_is_the_frameworks_own_error(
    framework: str, model: str, raises: str, tmp_path: Path
) -> None:
    ended = await scenes.model_is_refused(tmp_path, framework, python_of(framework), model)
    assert raises in ended.err


@pytest.mark.parametrize("framework", [*STOPPING, *TELLING])
async def test_a_tool_asks_first_by_one_line(framework: str, tmp_path: Path) -> None:
    await scenes.tool_asks_first(tmp_path, framework, python_of(framework))


@pytest.mark.parametrize("framework", [*STOPPING, *TELLING])
async def test_a_refused_tool_stops_the_framework_or_is_told_to_the_model(
    framework: str, tmp_path: Path
) -> None:
    stops = framework in STOPPING
    await scenes.tool_is_refused(tmp_path, framework, python_of(framework), stops=stops, says=RULE)


@pytest.mark.parametrize(
    ("framework", "arg"),
    [
        ("langgraph", "openai:standin-1"),
        ("langgraph", "anthropic:standin-2"),
        ("openai-agents", "chat_completions"),
        ("openai-agents", "responses"),
        ("pydantic-ai", "openai-chat:standin-1"),
        ("pydantic-ai", "openai-responses:standin-1"),
        ("pydantic-ai", "anthropic:standin-2"),
    ],
)
async def test_a_streamed_agent_does_the_same_job_piece_by_piece(
    framework: str, arg: str, tmp_path: Path
) -> None:
    program = STREAMED / f"stream_{framework.replace('-', '_')}.py"
    async with staged(tmp_path) as stage:
        ended = await stage.play(python_of(framework), str(program), arg)
        assert (ended.status, ended.out.strip()) == (0, ANSWER), ended.err[-4000:]
        assert len(await stage.check_accounts()) == 3
