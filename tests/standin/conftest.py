"""What the stand-in's tests share: the sample, a trained classifier, and served applications."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from quarterdeck_standin.app import StandIn
from quarterdeck_standin.classifier import Classifier, train
from quarterdeck_standin.examples import read_examples
from quarterdeck_standin.script import script_of
from quarterdeck_standin.server import serving
from tests.standin.served import FLEET, Play, Serve, Served


@pytest.fixture
def sample() -> Path:
    """The packaged sample's folder."""
    return FLEET / "sample"


@pytest.fixture
def prompt() -> str:
    """The triage agent's system prompt."""
    return (FLEET / "prompts" / "triage.md").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def trained() -> Classifier:
    """The classifier trained on the sample."""
    return train(read_examples(FLEET / "sample" / "train.csv"))


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves applications until the test is over."""
    async with AsyncExitStack() as stack:

        async def served(app: StandIn) -> Served:
            return Served(app=app, url=await stack.enter_async_context(serving(app)))

        yield served


@pytest.fixture
def play(serve: Serve) -> Play:
    """Serves scripts until the test is over."""

    async def played(script: dict[str, Any]) -> Served:
        return await serve(StandIn(script_of(script), keep_requests=True))

    return played
