"""The build hook: makes the console's scripts before they are packed into a wheel or an sdist."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def _frontend(root: str) -> ModuleType:
    path = Path(root) / "frontend" / "build.py"
    spec = importlib.util.spec_from_file_location("quarterdeck_frontend_build", path)
    assert spec is not None, f"{path} is part of the source"
    assert spec.loader is not None, f"{path} is a file"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class ConsoleBuildHook(BuildHookInterface[Any]):
    """Runs `frontend/build.py`; asks for Node from PyPI where the machine has none."""

    def dependencies(self) -> list[str]:
        """What the build itself needs."""
        frontend = _frontend(self.root)
        needed = not frontend.is_fresh() and frontend.find_node() is None
        return [frontend.NODE_PACKAGE] if needed else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build what is missing or old."""
        try:
            _frontend(self.root).build()
        except SystemExit as error:
            raise RuntimeError(str(error)) from sys.exc_info()[1]
