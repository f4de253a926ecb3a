"""``--junit FILE``: one test case for each check, for CI systems that read JUnit XML.

Invalid is a ``failure``. Unknown is an ``error``, not a skip: CI systems show skips green, and nobody knows whether that is so.
"""

from xml.etree import ElementTree as ET

from orchestrator.chaos.findings import Findings
from orchestrator.chaos.tables import summary_of
from orchestrator.checks import CheckResult, Verdict


def render_junit(found: Findings, seconds: float) -> str:
    """The document.

    Args:
        found: what the run found.
        seconds: how long it took.
    """
    count = {verdict: sum(check.verdict is verdict for check in found.checks) for verdict in Verdict}
    suite = ET.Element(
        "testsuite",
        name=f"chaos.{found.plan.name}",
        tests=str(len(found.checks)),
        failures=str(count[Verdict.INVALID]),
        errors=str(count[Verdict.UNKNOWN]),
        skipped="0",
        time=f"{seconds:.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    told = {
        "verdict": found.verdict.value,
        "seed": str(found.plan.seed),
        "topology": found.plan.devnet.name,
        "runtime": found.plan.runtime,
        "mutant": found.mutant,
        "run_dir": str(found.directory),
    }
    for name, value in told.items():
        ET.SubElement(properties, "property", name=name, value=value)
    for check in found.checks:
        _case(suite, found, check)
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: ET.Element, found: Findings, check: CheckResult) -> None:
    case = ET.SubElement(suite, "testcase", classname=f"chaos.{found.plan.name}", name=check.name, time="0")
    said = printable(f"{check.seen} {check.of_what}; {summary_of(check)}")
    if check.verdict is Verdict.INVALID and check.counterexample is not None:
        failure = ET.SubElement(case, "failure", message=said, type=check.verdict.value)
        failure.text = printable("\n".join(check.counterexample.lines))
    elif check.verdict is Verdict.UNKNOWN:
        ET.SubElement(case, "error", message=said, type=check.verdict.value)
    ET.SubElement(case, "system-out").text = said


def printable(text: str) -> str:
    """XML 1.0 has no way to write most control characters."""
    return "".join(sign if sign in "\n\t" or sign.isprintable() else "�" for sign in text)
