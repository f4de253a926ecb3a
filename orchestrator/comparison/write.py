"""Put the comparison on the disk: the package's only module that touches it."""

from pathlib import Path

import orjson

from orchestrator.comparison.html import render_html
from orchestrator.comparison.markdown import render_markdown
from orchestrator.comparison.model import Comparison
from orchestrator.comparison.to_json import comparison_to_json
from orchestrator.report.write import replace_file

NAMES = ("compare.html", "compare.md", "compare.json")
"""Of the files, in this order."""


def write_comparison(found: Comparison, folder: Path) -> tuple[Path, Path, Path]:
    """Write the three files; each is replaced in one step.

    Raises:
        OSError: the folder can't be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    page, text, data = (folder / name for name in NAMES)
    replace_file(page, render_html(found).encode())
    replace_file(text, render_markdown(found).encode())
    document = comparison_to_json(found)
    replace_file(data, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return page, text, data
