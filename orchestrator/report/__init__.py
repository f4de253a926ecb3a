"""A run as numbers: how many messages ended how, how fast, and what they waited for.

::

    TraceSet ─► build ─► Report ─┬─► tables ─┬─► terminal    rich tables
                  │              │           └─► markdown    report.md, a CI job's summary
       latency ◄──┤              └─► to_json                 report.json, stable schema
        shares ◄──┤
        faults ◄──┘              (all pure; write and only write touches the disk)
"""

from orchestrator.report.build import build_report
from orchestrator.report.markdown import render_markdown
from orchestrator.report.model import Report, RunMeta
from orchestrator.report.terminal import print_report
from orchestrator.report.to_json import report_to_json
from orchestrator.report.write import read_meta, write_report

__all__ = [
    "Report",
    "RunMeta",
    "build_report",
    "print_report",
    "read_meta",
    "render_markdown",
    "report_to_json",
    "write_report",
]
