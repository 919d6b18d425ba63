"""The style rules that a linter cannot say. Each was broken on purpose once, and bit."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "quarterdeck"
BANNED = re.compile(
    r"(Manager|Handler|Processor|Helper|Utils?|Common|Misc|Base|Abstract|Impl|Data|Info|Context)$"
    r"|^(Base|Abstract)"
)
TEMPLATE = SOURCE / "fleet" / "template" / "folder"  # what `init` writes: the user's code
SYNONYMS = ("audit_log", "kill_switch", "permission_check", "guardrail_event", "api_token")
LINES_MAX, FUNCTION_LINES_MAX, PARAMETERS_MAX = 400, 60, 7
LONG_MODULES = {
    "verifier.py": "one file by design: it is copied elsewhere and run with `python -I`",
}
LONG_FUNCTIONS: dict[str, str] = {}
CLEARED_MAKERS = {"checkpoint"}
REDACTED_MAKERS = {
    "guards/redact.py": "the one that looks",
    "checkpoint/recording.py": "a sequence holds hashes and numbers only",
}


def modules(under: str = "") -> Iterator[tuple[str, ast.Module]]:
    """Every module's path from the source folder, and its tree."""
    for path in sorted((SOURCE / under).rglob("*.py")):
        if TEMPLATE in path.parents:
            continue
        text = path.read_text(encoding="utf-8")
        yield str(path.relative_to(SOURCE)), ast.parse(text)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions in a tree."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def callers_of(name: str) -> set[str]:
    """Modules that call something by this name."""
    return {
        path
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) == name
    }


def test_modules_fit_their_limit() -> None:
    for path in sorted(SOURCE.rglob("*.py")):
        name = str(path.relative_to(SOURCE))
        lines = len(path.read_text(encoding="utf-8").splitlines())
        assert lines <= LINES_MAX or name in LONG_MODULES, f"{name}: {lines} lines"


def test_functions_fit_their_limit() -> None:
    for path, tree in modules():
        for function in functions(tree):
            lines = (function.end_lineno or 0) - function.lineno + 1
            name = f"{path}:{function.name}"
            assert lines <= FUNCTION_LINES_MAX or name in LONG_FUNCTIONS, f"{name}: {lines} lines"


def test_functions_take_few_positional_parameters() -> None:
    for path, tree in modules():
        for function in functions(tree):
            count = len([a for a in function.args.args if a.arg not in ("self", "cls")])
            assert count <= PARAMETERS_MAX, f"{path}:{function.name} takes {count}"


def test_names_say_what_a_thing_is() -> None:
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                assert not BANNED.search(node.name), f"{path}: {node.name}"


def test_synonyms_of_the_glossary_are_not_used() -> None:
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        for word in SYNONYMS:
            assert word not in text, f"{path}: {word}"


def test_every_public_thing_has_a_docstring() -> None:
    for path, tree in modules():
        assert ast.get_docstring(tree), f"{path} has no docstring"
        for node in tree.body:
            public = isinstance(
                node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
            ) and not node.name.startswith("_")
            if public:
                assert ast.get_docstring(node), f"{path}:{node.name} has no docstring"


def test_only_the_checkpoint_makes_a_cleared() -> None:
    makers = callers_of("Cleared")
    assert {maker.split("/")[0] for maker in makers} == CLEARED_MAKERS, makers
    assert makers == {"checkpoint/clearance.py"}


def test_only_redaction_makes_redacted_content() -> None:
    assert callers_of("Redacted") == set(REDACTED_MAKERS)


def test_every_effect_takes_a_cleared_first() -> None:
    effects = {
        "upstream/credentials.py:of",
        "upstream/credentials.py:at",
        "upstream/tools/http.py:call",
        "upstream/tools/visits.py:__init__",
        "upstream/models/call.py:ask",
        "upstream/models/client.py:open",
        "upstream/tools/call.py:use",
        "upstream/tools/mcp.py:call",
        "upstream/tools/mcp.py:open",
        "upstream/tools/mcp_peers.py:ask",
        "upstream/tools/python.py:call",
    }
    seen = set()
    for path, tree in modules("upstream"):
        for function in functions(tree):
            first = next((a for a in function.args.args if a.arg != "self"), None)
            if first is not None and ast.unparse(first.annotation or ast.Name("")) == "Cleared":
                seen.add(f"{path}:{function.name}")
    assert effects <= seen, effects - seen


def test_the_domain_is_pure() -> None:
    for path, tree in modules("domain"):
        for node in ast.walk(tree):
            assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), path
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
                for banned in ("os", "socket", "sqlite3", "aiohttp", "pydantic", "pathlib"):
                    assert banned not in names, f"{path} imports {banned}"


def test_sql_lives_in_the_store_only() -> None:
    statement = re.compile(r"^\s*(select|insert into|update|delete from)\s", re.I)
    for path, tree in modules():
        if path.startswith("store/"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not statement.match(node.value) or " " not in node.value[:40].strip()[7:], (
                    f"{path}:{node.lineno}"
                )


def test_every_suppression_says_why() -> None:
    for path in sorted(SOURCE.rglob("*.py")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if "# noqa" in line or "# type: ignore" in line:
                reason = re.search(
                    r"(noqa: [A-Z0-9, ]+|type: ignore\[[\w,-]+\])\s{1,2}(# )?\S", line
                )
                assert reason, f"{path.relative_to(SOURCE)}:{number}: {line.strip()}"


def test_no_module_is_dead() -> None:
    imported = set()
    for _, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module)
                imported |= {f"{node.module}.{alias.name}" for alias in node.names}
            elif isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
    entries = {"quarterdeck.cli.main", "quarterdeck.verifier", "quarterdeck.upstream.tools.child"}
    for path, _ in modules():
        name = "quarterdeck." + path.removesuffix(".py").replace("/", ".")
        if name.endswith("__init__"):
            continue
        assert name in imported or name in entries, f"{path} is imported by nothing"
