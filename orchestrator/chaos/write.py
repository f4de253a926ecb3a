"""Put the findings on the disk: the only module of the report that touches it."""

from pathlib import Path

import orjson

from orchestrator.chaos.findings import Findings
from orchestrator.chaos.html import render_html
from orchestrator.chaos.junit import render_junit
from orchestrator.chaos.markdown import render_markdown
from orchestrator.chaos.to_json import findings_to_json
from orchestrator.report.write import replace_file

NAMES = ("chaos.md", "report.html", "chaos.json")
"""Of the files in the run directory."""


def write_findings(found: Findings) -> tuple[Path, ...]:
    """Write the three files; each is replaced in one step.

    Raises:
        OSError: the directory can't be written.
    """
    text, page, data = (found.directory / name for name in NAMES)
    replace_file(text, render_markdown(found).encode())
    replace_file(page, render_html(found).encode())
    document = findings_to_json(found)
    replace_file(data, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    return text, page, data


def write_junit(found: Findings, seconds: float, file: Path) -> None:
    """Write JUnit XML where the user wants it.

    Raises:
        OSError: the file can't be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, render_junit(found, seconds).encode())
