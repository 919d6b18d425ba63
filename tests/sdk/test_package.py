"""The package itself: what it imports, what it needs, what it says it offers."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import quarterdeck
import quarterdeck_sdk

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "sdk" / "src" / "quarterdeck_sdk"


def test_it_imports_nothing_of_the_server_and_one_http_client() -> None:
    roots = set()
    for path in SOURCE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                roots |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                roots.add(str(node.module).partition(".")[0])
    assert roots - set(sys.stdlib_module_names) == {"quarterdeck_sdk", "httpx2"}
    about = tomllib.loads((ROOT / "sdk" / "pyproject.toml").read_text(encoding="utf-8"))
    assert [need.partition(">")[0] for need in about["project"]["dependencies"]] == ["httpx2"]


def test_only_the_drivers_do_io_so_that_everything_said_is_written_once() -> None:
    for path in SOURCE.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name != "drivers.py":
            for name in (".send(", "time.sleep", "asyncio.sleep", "import socket"):
                assert name not in text, f"{path.name}: {name}"


def test_every_public_thing_has_a_docstring() -> None:
    for path in SOURCE.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), path.name
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                overload = any(
                    isinstance(mark, ast.Name) and mark.id == "overload"
                    for mark in node.decorator_list
                )
                if not node.name.startswith("_") and not overload:
                    assert ast.get_docstring(node), f"{path.name}: {node.name}"


def test_versions_agree() -> None:
    about = tomllib.loads((ROOT / "sdk" / "pyproject.toml").read_text(encoding="utf-8"))
    assert about["project"]["version"] == quarterdeck_sdk.__version__ == quarterdeck.__version__


def test_its_types_say_what_a_decorated_function_takes_and_returns(tmp_path: Path) -> None:
    program = tmp_path / "typed.py"
    program.write_text(
        "import quarterdeck_sdk as quarterdeck\n"
        "@quarterdeck.tool\n"
        "def plain(n: int) -> str: return str(n)\n"
        "@quarterdeck.tool('named', key=lambda n: str(n))\n"
        "async def awaited(n: int) -> str: return str(n)\n"
        "async def main() -> None:\n"
        "    reveal_type(plain(1))\n"
        "    reveal_type(await awaited(1))\n"
        "    plain('x')\n"
        "    async with quarterdeck.run('a') as run: reveal_type(run.openai()['base_url'])\n",
        encoding="utf-8",
    )
    command = [sys.executable, "-m", "mypy", "--strict", str(program), "--cache-dir", str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False).stdout
    assert said.count('Revealed type is "str"') + said.count('type is "builtins.str"') == 3, said
    assert 'incompatible type "str"; expected "int"' in said
    assert "Found 1 error" in said
