"""YAML as people would write it: block maps, short lists in a line, long texts as they are. Pure.

PyYAML's own writer folds texts, sorts badly and quotes a merge key. What is written here is read alike by YAML 1.1 and 1.2: every text
is quoted, and so is every key that one of them takes for a boolean.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_LONG = re.compile(r"[!-~][ -~]*(\n[ -~]*[!-~])+")
"""Lines that stay what they are as a block, whose indentation the first line shows."""
_NO_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def block(content: Mapping[str, Any], indent: int = 0) -> Iterator[str]:
    """The lines of a map of maps, lists of scalars, texts, numbers and booleans."""
    space = " " * indent
    for key, value in content.items():
        match value:
            case Mapping() if value:
                yield f"{space}{key_text(key)}:"
                yield from block(value, indent + 2)
            case str() if _LONG.fullmatch(value):
                yield f"{space}{key_text(key)}: |-"
                yield from (f"{space}  {line}" for line in value.splitlines())
            case _:
                yield f"{space}{key_text(key)}: {scalar(value)}"


def key_text(key: str) -> str:
    """A key, quoted where some reader would take it for no text."""
    return key if _PLAIN_KEY.fullmatch(key) and key.lower() not in _NO_TEXT else json.dumps(key)


def scalar(value: str | float | bool | Sequence[Any] | Mapping[str, Any]) -> str:
    """A scalar, or a list or map in one line, in JSON's way, which is YAML's too."""
    return json.dumps(value)
