"""Makes `.tools/node` from the lock file beside this: other makers' programs that the tests run.

    python tests/node/environment.py [--lock]     --lock: make the lock file anew instead

They need a newer Node than many machines have; it then comes from PyPI, into `.tools`. What is
absent, or older than its lock file, is a failure that says what to do, never a skip.
"""

import hashlib
import importlib
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[1]
FOLDER: Final = ROOT / ".tools" / "node"
NODE: Final = FOLDER / "node"
FILES: Final = tuple(HERE / name for name in ("package.json", "package-lock.json", ".npmrc"))
NODE_MAJOR_MIN: Final = 22  # the conformance suite's
CONFORMANCE: Final = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
SET_UP: Final = "run: make .tools/node/.ready"


def conformance_command() -> list[str]:
    """How MCP's official conformance suite is started."""
    _require()
    return [str(NODE), str(FOLDER / CONFORMANCE)]


def provider_command() -> list[str]:
    """How the OAuth provider is started; its configuration is `provider.mjs`."""
    _require()
    return [str(NODE), str(HERE / "provider.mjs"), str(FOLDER)]


def make() -> None:
    """Make what is absent or old."""
    if is_fresh():
        return
    node, npm = _node_and_npm()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    for path in FILES:
        shutil.copy(path, FOLDER / path.name)
    _run([*npm, "ci", "--loglevel=error"], FOLDER)
    NODE.symlink_to(node)
    (FOLDER / ".locked").write_text(_digest(), encoding="utf-8")


def lock() -> None:
    """Make the lock file anew: hashes of everything, and no host."""
    _, npm = _node_and_npm()
    locked = FILES[1]
    locked.unlink(missing_ok=True)
    _run([*npm, "install", "--package-lock-only", "--loglevel=error"], HERE)
    tree = json.loads(locked.read_text(encoding="utf-8"))
    for found in tree["packages"].values():
        found.pop("funding", None)  # addresses of sponsors
    locked.write_text(json.dumps(tree, indent=2) + "\n", encoding="utf-8")


def is_fresh() -> bool:
    """Whether what is there is what the lock file says."""
    stamp = FOLDER / ".locked"
    return NODE.exists() and stamp.is_file() and stamp.read_text(encoding="utf-8") == _digest()


def _require() -> None:
    assert is_fresh(), f"the Node packages of the tests are not installed, or are old; {SET_UP}"


def _node_and_npm() -> tuple[str, list[str]]:
    frontend = _frontend()
    if frontend.find_node(NODE_MAJOR_MIN) is None:
        _run([sys.executable, "-m", "pip", "install", "-q", frontend.NODE_PACKAGE], ROOT)
        importlib.invalidate_caches()
    node = frontend.find_node(NODE_MAJOR_MIN)
    assert node is not None, "it was installed a moment ago"
    return node[0], frontend.find_npm(node)


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
        sys.exit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-3000:]}")


def _digest() -> str:
    found = hashlib.sha256()
    for path in FILES:
        found.update(path.read_bytes())
    return found.hexdigest()


if __name__ == "__main__":
    lock() if "--lock" in sys.argv[1:] else make()
