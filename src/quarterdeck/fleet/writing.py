"""Values as YAML that fleet files may hold: no anchors, and nothing that reads in two ways."""

import re
from typing import Any, Final

import yaml

from quarterdeck.fleet.documents import DECIMAL, NOT_FINITE, TWO_FACED, WORDS

_SURE: Final = re.compile(r"[A-Za-z_/][A-Za-z0-9_./-]*( [A-Za-z0-9_.,/()-]+)*")
#: Words with one space between them, which come out of folded lines as they went in.
_FOLDABLE: Final = re.compile(r"[!-~\u00a1-\u1fff]+( [!-~\u00a1-\u1fff]+)+")
_WIDTH: Final = 100


class _Dumper(yaml.SafeDumper):
    """Writes the same value out each time it occurs, and quotes what is not surely text."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: FBT001, FBT002  the library's own signature
        return super().increase_indent(flow, False)  # noqa: FBT003  the same


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    is_sure = (
        _SURE.fullmatch(text) is not None
        and text not in WORDS
        and text.lower() not in TWO_FACED
        and not DECIMAL.fullmatch(text)
        and not NOT_FINITE.fullmatch(text)
    )
    style = None if is_sure else '"'
    if len(text) > _WIDTH - 20 and _FOLDABLE.fullmatch(text):
        style = ">"
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def yaml_text(value: dict[str, Any]) -> str:
    """A mapping as the text of a fleet file."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_WIDTH))
