"""Gemini's and Azure's clients take a run's arguments, or its environment, as they are."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import openai
import pytest
from google import genai

from quarterdeck_sdk.scope import Current
from tests.wire.test_azure_sdk import ASK, DEPLOYMENT, VERSION, azure
from tests.wire.test_gemini_sdk import MODEL, gemini

# The SDK makes its own class of aiohttp's session, which aiohttp discourages.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class:DeprecationWarning")

FROM_ENVIRONMENT = {
    "gemini": f"""
from google import genai
client = genai.Client()
client.models.generate_content(model={MODEL!r}, contents="?")
""",
    "azure": f"""
from openai import AzureOpenAI
AzureOpenAI(api_version={VERSION!r}).chat.completions.create(model={DEPLOYMENT!r}, messages={ASK!r})
""",
}


def current_of(server: Any, run: Any) -> Current:
    """The run, as the SDK has it."""
    return Current(run=run.id, url=server.url, gateway_url=server.url, credential=run.credential)


async def test_geminis_client_takes_a_runs_arguments(tmp_path: Path) -> None:
    async with gemini(tmp_path) as (server, _, run):
        with genai.Client(**current_of(server, run).gemini()) as client:  # type: ignore[arg-type]  # it takes a dict
            answer = await client.aio.models.generate_content(model=MODEL, contents="?")
            await client.aio.aclose()
        assert answer.text == "Looking."
        assert [row["state"] for row in await server.actions(run.id)] == ["done"]


async def test_azures_client_takes_a_runs_arguments(tmp_path: Path) -> None:
    async with azure(tmp_path) as (server, _, run):
        arguments = current_of(server, run).azure()
        async with openai.AsyncAzureOpenAI(**arguments, api_version=VERSION) as client:
            await client.chat.completions.create(model=DEPLOYMENT, messages=ASK)
        assert [row["state"] for row in await server.actions(run.id)] == ["done"]


@pytest.mark.parametrize("vendor", [gemini, azure])
async def test_their_clients_read_a_runs_environment(vendor: Any, tmp_path: Path) -> None:
    async with vendor(tmp_path) as (server, _, run):
        environment = {"PATH": os.environ["PATH"], **current_of(server, run).environment()}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FROM_ENVIRONMENT[vendor.__name__], env=environment
        )
        assert await process.wait() == 0
        assert [row["state"] for row in await server.actions(run.id)] == ["done"]
