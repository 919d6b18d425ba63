"""The vendors' own SDKs, by base URL and credential only. They are in the normal environment."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.frameworks import faces, scenes
from tests.frameworks.stage import ANSWER, THIS, staged

SDKS = ["openai", "anthropic"]


@pytest.mark.parametrize("framework", SDKS)
async def test_the_example_does_its_job_and_all_of_it_is_on_record(
    framework: str, tmp_path: Path
) -> None:
    await scenes.job_is_done(tmp_path, framework, THIS)


@pytest.mark.parametrize("framework", SDKS)
async def test_a_refused_model_is_the_sdks_own_error(framework: str, tmp_path: Path) -> None:
    ended = await scenes.model_is_refused(tmp_path, framework, THIS, "nope")
    assert f"{framework}.PermissionDeniedError: Error code: 403" in ended.err


@pytest.mark.parametrize("framework", SDKS)
async def test_a_tool_asks_first_by_one_line(framework: str, tmp_path: Path) -> None:
    await scenes.tool_asks_first(tmp_path, framework, THIS)


@pytest.mark.parametrize("framework", SDKS)
async def test_a_refused_tool_raises_with_its_rule(framework: str, tmp_path: Path) -> None:
    says = "quarterdeck_sdk.errors.Refused: `file_note` was refused: default:tool"
    await scenes.tool_is_refused(tmp_path, framework, THIS, stops=True, says=says)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("awaited", [False, True], ids=["blocking", "awaited"])
@pytest.mark.parametrize("agent", [faces.on_openai, faces.on_anthropic])
async def test_every_face_of_an_sdk_does_the_same_job(
    agent: Callable[..., Awaitable[Any]], awaited: bool, streamed: bool, tmp_path: Path
) -> None:
    async with staged(tmp_path) as stage:
        said = await agent(
            stage.server.url, stage.run.credential, awaited=awaited, streamed=streamed
        )
        assert said == (ANSWER, ["look_up_order", "file_note"])
        assert len(await stage.check_accounts()) == 3
