"""The Python function behind a tool: it exists, and takes the arguments its contract names.

The file is parsed and never run here: fleet code does not run beside the keys.
"""

import ast
import warnings
from collections.abc import Mapping

from quarterdeck.domain.tools import PythonBackend
from quarterdeck.fleet.documents import text_of
from quarterdeck.fleet.problems import Findings, instead, quoted
from quarterdeck.fleet.schema import ToolEntry
from quarterdeck.fleet.sheets import Sheet


def backend(sheet: Sheet[ToolEntry], files: Mapping[str, bytes]) -> PythonBackend | None:
    """What carries the tool out, or nothing: it names no function, or a problem was found."""
    entry = sheet.entry
    if entry.python is None:
        return None
    file, function = entry.python.file, entry.python.function
    if file not in files:
        known = sorted(path for path in files if path.endswith(".py"))
        hint = instead(file, known) if known else "write that file"
        sheet.note(("python", "file"), f"no file {quoted(file)} in the folder", hint)
        return None
    source = text_of(file, files[file], sheet.found)
    functions = None if source is None else _functions(file, source, sheet.found)
    if source is None or functions is None:
        return None
    if function not in functions:
        message = f"no function {quoted(function)} in `{file}`"
        hint = instead(function, sorted(functions)) if functions else f"define it in `{file}`"
        sheet.note(("python", "function"), message, hint)
        return None
    _signature(entry, file, functions[function], sheet.found)
    return PythonBackend(file=file, function=function, source=source)


def _functions(file: str, source: str, found: Findings) -> dict[str, ast.FunctionDef] | None:
    """The functions a file defines at its top level."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a doubtful escape is for the author's own tools
            tree = ast.parse(source)
    except SyntaxError as error:
        message = f"not valid Python: {error.msg}"
        found.add(file, message, "correct it here", line=error.lineno or 1)
        return None
    except (ValueError, RecursionError, MemoryError):
        found.add(file, "not Python that can be read", "write plain, shallow code", line=1)
        return None
    for node in tree.body:
        if isinstance(node, ast.AsyncFunctionDef):
            message = f"{quoted(node.name)} is async"
            found.add(file, message, f"write `def {node.name}(…)`", line=node.lineno)
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _signature(entry: ToolEntry, file: str, node: ast.FunctionDef, found: Findings) -> None:
    """The function accepts whatever arguments its contract lets through, by name."""
    # A contract that is itself at fault has been noted already; whatever it holds, this goes on.
    properties, required = (entry.arguments.get(key) for key in ("properties", "required"))
    named = set(properties) if isinstance(properties, dict) else set()
    certain = {n for n in required if isinstance(n, str)} if isinstance(required, list) else set()
    takes = node.args
    by_name = [argument.arg for argument in (*takes.args, *takes.kwonlyargs)]
    if takes.posonlyargs:
        message = f"`{node.name}` takes arguments by position only"
        found.add(file, message, "remove the `/`; arguments come by name", line=node.lineno)
    if takes.kwarg is None:
        for name in sorted(named - set(by_name)):
            message = f"`{node.name}` does not take {quoted(name)}, which its contract names"
            hint = f"add it to the function, or remove it from `tools/{entry.name}.yaml`"
            found.add(file, message, hint, line=node.lineno)
    optional = {argument.arg for argument in takes.args[len(takes.args) - len(takes.defaults) :]}
    optional |= {
        argument.arg
        for argument, default in zip(takes.kwonlyargs, takes.kw_defaults, strict=True)
        if default is not None
    }
    for name in [name for name in by_name if name not in optional | certain]:
        message = f"`{node.name}` needs {quoted(name)}, which its contract does not require"
        hint = f"give it a default, or list it under `required` in `tools/{entry.name}.yaml`"
        found.add(file, message, hint, line=node.lineno)
