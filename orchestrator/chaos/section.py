"""What is wrong with the scenario that a topology file carries, for whoever reads the file as a topology. Pure."""

from pathlib import Path

from orchestrator.chaos.carried import as_scenario, needless, outer
from orchestrator.chaos.load import examine
from orchestrator.topology.document import Document
from orchestrator.topology.errors import Finding


def section_findings(document: Document, *, fits: bool) -> tuple[Finding, ...]:
    """Everything that is wrong under ``chaos``, whatever runtime will be chosen.

    Args:
        document: of a topology with that map.
        fits: whether the rest of it is right; what is wrong with the rest was said already.
    """
    # the topology is in the document itself, so no folder is ever looked into
    findings = examine(as_scenario(document), Path()).findings
    kept = (outer(one) for one in findings if fits or one.path[:1] not in (("topology",), ("name",)))
    return (*needless(document), *kept)
