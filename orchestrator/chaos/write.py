"""Put the findings on the disk: the only module of the report that touches it."""

from pathlib import Path

import orjson

from orchestrator.chaos.findings import Findings
from orchestrator.chaos.html import render_html
from orchestrator.chaos.junit import render_junit
from orchestrator.chaos.markdown import PICTURE, render_markdown
from orchestrator.chaos.plot import plot_of
from orchestrator.chaos.svg import render_svg
from orchestrator.chaos.to_json import findings_to_json
from orchestrator.report.write import replace_file

NAMES = ("report.md", "report.html", "chaos.json", PICTURE)
"""Of the files in the run directory; without a load there is no picture."""


def write_findings(found: Findings) -> tuple[Path, ...]:
    """Write the files; each is replaced in one step.

    Raises:
        OSError: the directory can't be written.
    """
    text, page, data, picture = (found.directory / name for name in NAMES)
    replace_file(text, render_markdown(found).encode())
    replace_file(page, render_html(found).encode())
    document = findings_to_json(found)
    replace_file(data, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    drawing = plot_of(found.facts)
    if drawing is None:
        return text, page, data
    replace_file(picture, render_svg(drawing, found.plan.name).encode())
    return text, page, data, picture


def write_junit(found: Findings, seconds: float, file: Path) -> tuple[Path, ...]:
    """Write JUnit XML where the user wants it; returns its path.

    Raises:
        OSError: the file can't be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    replace_file(file, render_junit(found, seconds).encode())
    return (file,)
