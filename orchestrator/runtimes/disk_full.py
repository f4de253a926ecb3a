"""What a full disk comes to, on every runtime: the kernel's word on each process, and the node's own, if it complains."""

import asyncio
from collections.abc import Callable, Sequence

from orchestrator.runtimes.faults import Bite, Healing
from orchestrator.runtimes.file_limits import Limited

COMPLAINTS = ("File too large", "Errno 27", "EFBIG")
"""What a node writes into its log when a write of its fails in this way."""
_LISTEN_S, _GLANCE_S = 0.3, 0.02
"""How long a node may take to stumble; no event announces it."""


async def bite_of(seen: Limited, log: Callable[[], Sequence[str]], before: int) -> Bite:
    """Judge what the kernel says, and wait a moment for the node's own complaint.

    Args:
        seen: of its processes.
        log: the node's last lines.
        before: how many of them were complaints before.
    """
    evidence = (
        f"/proc: {seen.held} processes may write no file beyond {seen.limit} bytes; of the files open for writing "
        f"{seen.full} can't grow, {seen.roomy} can"
    )
    if seen.free or not seen.held:
        return Bite(False, f"/proc: {seen.free} of {seen.free + seen.held} processes do not have the limit")
    for _ in range(int(_LISTEN_S / _GLANCE_S)):
        if complaints(log()) > before:
            said = next(line for line in reversed(log()) if any(word in line for word in COMPLAINTS))
            return Bite(True, f"{evidence}; its log: {said.strip()[:200]}")
        await asyncio.sleep(_GLANCE_S)
    return Bite(True, evidence)


def healing_of(seen: Limited) -> Healing:
    """Judge what the kernel says once the limit is lifted."""
    limit = "no limit" if seen.limit < 0 else f"a limit of {seen.limit} bytes again"
    return Healing(not seen.free, f"/proc: {seen.held} of {seen.held + seen.free} processes have {limit}")


def complaints(lines: Sequence[str]) -> int:
    """How many lines complain."""
    return sum(1 for line in lines if any(word in line for word in COMPLAINTS))
