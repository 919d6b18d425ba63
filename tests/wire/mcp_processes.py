"""MCP servers in processes of their own, for tests that put something between them and a client."""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
START_SECONDS: Final = 30
#: How the fixture is started on standard input and output.
STDIO: Final = (sys.executable, "-m", "tests.wire.mcp_fixture", "--stdio")


@dataclass(frozen=True, slots=True)
class McpServer:
    """A server that listens, and what got to it."""

    url: str
    log: Path
    pid: int

    def got(self, method: str | None = None) -> list[dict[str, Any]]:
        """The messages it was sent, oldest first."""
        if not self.log.exists():
            return []
        lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        return [line for line in lines if method in (None, line["method"])]


@contextlib.asynccontextmanager
async def fixture(
    folder: Path, *, port: int = 0, issuer: str | None = None
) -> AsyncIterator[McpServer]:
    """The fixture server on loopback, open to all, or to holders of an issuer's tokens."""
    log = folder / "mcp-fixture.jsonl"
    command = [sys.executable, "-m", "tests.wire.mcp_fixture"]
    command += ["--port", str(port), "--log", str(log)]
    command += ["--issuer", issuer] if issuer is not None else []
    errors = folder / "mcp-fixture.err"
    with errors.open("wb") as writing:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=ROOT,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=writing,
        )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(START_SECONDS):
            said = await process.stdout.readline()
        assert said, f"the fixture did not start: {errors.read_text()[-3000:]}"
        yield McpServer(json.loads(said)["url"], log, process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
