"""The peers as processes: one worker each, configured to do as little as they can."""

import contextlib
import http.client
import json
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.peers.environments import (
    Absent,
    contextforge_command,
    fastmcp_command,
    litellm_command,
    portkey_command,
)

START_SECONDS: Final = 90
STOP_SECONDS: Final = 10
KEY: Final = "sk-bench"
#: The least it can be: no database, cache, callbacks or retries, nor a price, which costs it a
#: sixth of its speed. Without a master key it does not start.
LITELLM_CONFIG: Final = """
model_list:
  - model_name: bench-1
    litellm_params:
      model: openai/bench-1
      api_base: http://127.0.0.1:{port}/v1
      api_key: sk-upstream
litellm_settings: {{telemetry: false, num_retries: 0, set_verbose: false}}
general_settings: {{master_key: {key}}}
"""
LITELLM_ENVIRONMENT: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # its price table comes with the package
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "NO_DOCS": "True",
    "NO_REDOC": "True",
}


#: The least it can be: no rate limits, caches, metrics, logs to the database, headers or plug-ins.
#: A server it is told of must be signed in for, so a token it is.
CONTEXTFORGE_ENVIRONMENT: Final = {
    "AUTH_REQUIRED": "true",
    "CACHE_TYPE": "none",
    "COMPRESSION_ENABLED": "false",
    "CORRELATION_ID_ENABLED": "false",
    "DB_METRICS_RECORDING_ENABLED": "false",
    "JSON_RESPONSE_ENABLED": "true",
    "LOG_LEVEL": "ERROR",
    "MCPGATEWAY_ADMIN_API_ENABLED": "true",
    "MCPGATEWAY_UI_ENABLED": "false",
    "OBSERVABILITY_ENABLED": "false",
    "PLATFORM_ADMIN_EMAIL": "admin@example.com",
    "PLUGINS_ENABLED": "false",
    "RATE_LIMITING_ENABLED": "false",
    "SECURITY_HEADERS_ENABLED": "false",
    "SSRF_ALLOW_LOCALHOST": "true",
    "SSRF_ALLOW_PRIVATE_NETWORKS": "true",
    "STRUCTURED_LOGGING_ENABLED": "false",
    "TOKEN_USAGE_LOGGING_ENABLED": "false",
    "USE_STATEFUL_SESSIONS": "true",  # without, it begins a session upstream for every call
}
SECRETS: Final = (
    "JWT_SECRET_KEY",
    "AUTH_ENCRYPTION_SECRET",
    "PLATFORM_ADMIN_PASSWORD",
    "BASIC_AUTH_PASSWORD",
)


@dataclass(frozen=True)
class Peer:
    """A peer that answers."""

    pid: int
    port: int
    seconds: float
    credential: str = KEY


@contextlib.contextmanager
def litellm(upstream_port: int) -> Iterator[Peer]:
    """LiteLLM's proxy in front of the upstream."""
    with tempfile.TemporaryDirectory() as name:
        config = Path(name) / "config.yaml"
        config.write_text(LITELLM_CONFIG.format(port=upstream_port, key=KEY))
        port = free_port()
        command = [*litellm_command(), "--config", str(config), "--host", "127.0.0.1"]
        command += ["--port", str(port), "--num_workers", "1"]
        with _running("LiteLLM's proxy", command, port, Path(name), LITELLM_ENVIRONMENT) as peer:
            yield peer


@contextlib.contextmanager
def portkey() -> Iterator[Peer]:
    """Portkey's gateway; where a call goes is said by its headers."""
    with tempfile.TemporaryDirectory() as name:
        port = free_port()
        command = [*portkey_command(), f"--port={port}", "--headless"]
        more = {"NODE_ENV": "production"}
        with _running("Portkey's gateway", command, port, Path(name), more) as peer:
            yield peer


@contextlib.contextmanager
def contextforge(upstream_port: int) -> Iterator[Peer]:
    """IBM ContextForge, told of the upstream as its server `raw`."""
    with tempfile.TemporaryDirectory() as name:
        port = free_port()
        more = dict(CONTEXTFORGE_ENVIRONMENT)
        more |= {secret: secrets.token_urlsafe(48) for secret in SECRETS}
        more["DATABASE_URL"] = f"sqlite:///{name}/contextforge.db"
        python = contextforge_command()
        command = [*python, "mcpgateway.cli", "--host", "127.0.0.1", "--port", str(port)]
        with _running("ContextForge", command, port, Path(name), more) as peer:
            token = subprocess.check_output(
                [
                    *(*python, "mcpgateway.utils.create_jwt_token", "--admin", "--exp", "600"),
                    *("--username", more["PLATFORM_ADMIN_EMAIL"]),
                    *("--secret", more["JWT_SECRET_KEY"]),
                ],
                env={"PATH": os.environ["PATH"], "HOME": name, **more},
                cwd=name,
                stderr=subprocess.DEVNULL,
                text=True,
            ).strip()
            _introduce(port, token, upstream_port)
            yield replace(peer, credential=token)


def _introduce(port: int, token: str, upstream_port: int) -> None:
    told = {"name": "raw", "transport": "STREAMABLEHTTP"}
    body = json.dumps({**told, "url": f"http://127.0.0.1:{upstream_port}/mcp"})
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/gateways", body, headers)
    answer = connection.getresponse()
    said = answer.read().decode(errors="replace")
    connection.close()
    if answer.status not in (200, 201):
        raise Absent(f"ContextForge would not know the upstream ({answer.status}):\n{said[-3000:]}")


@contextlib.contextmanager
def fastmcp(upstream_port: int) -> Iterator[Peer]:
    """fastmcp's proxy in front of the upstream."""
    with tempfile.TemporaryDirectory() as name:
        port = free_port()
        command = [*fastmcp_command(), str(port), f"http://127.0.0.1:{upstream_port}/mcp"]
        with _running("fastmcp's proxy", command, port, Path(name), {}) as peer:
            yield peer


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def _running(
    name: str, command: list[str], port: int, folder: Path, more: Mapping[str, str]
) -> Iterator[Peer]:
    log = folder / "log"
    began = time.perf_counter()
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", **more}
    with log.open("wb") as writing:
        process = subprocess.Popen(
            command,
            stdout=writing,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,  # what it starts ends with it
        )
    try:
        while not _answers(port):
            late = time.perf_counter() - began > START_SECONDS
            if late or process.poll() is not None:
                why = f"not within {START_SECONDS} s" if late else f"status {process.returncode}"
                said = log.read_text(errors="replace")[-3000:]
                raise Absent(f"{name} did not start ({why}):\n{said}")
            time.sleep(0.1)
        yield Peer(process.pid, port, time.perf_counter() - began)
    finally:
        _end(process)


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
            return


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and of what it started."""
    total = 0.0
    for each in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def memory_mb(pid: int) -> float:
    """Resident memory of a process and of what it started."""
    total = 0.0
    for each in family(pid):
        with contextlib.suppress(OSError, IndexError):
            status = Path(f"/proc/{each}/status").read_text()
            total += int(status.split("VmRSS:")[1].split()[0]) / 1024
    return total


def family(pid: int) -> list[int]:
    """A process and all it started that still run."""
    found = [pid]
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += family(int(child))
    return found
