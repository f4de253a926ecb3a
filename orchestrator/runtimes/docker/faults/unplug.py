"""Taking a container off the fabric and putting it back, seen by another node that looks for it by its name."""

from collections.abc import Sequence

import orjson

from orchestrator.runtimes.docker.errors import EngineError
from orchestrator.runtimes.docker.faults.beside import RUN_ALONE, SIDE_CAR
from orchestrator.runtimes.docker.faults.targets import Target, Targets
from orchestrator.runtimes.docker.faults.verdicts import HEARD
from orchestrator.runtimes.faults import Bite, Healing, Unplug

_HEARS_S, _HANGS_S = 1.0, 0.25
"""How long a witness waits for what is expected to answer, and for what is not, seconds."""


async def unplug(targets: Targets, fault: Unplug) -> Bite:
    """Take a node off the fabric; the names and addresses under which others know it fail at once."""
    target = targets.by_name[fault.node]
    had = await targets.address(fault.node)
    witness, before = await _witnessed(targets, target)
    container = target.place.container
    await targets.engine.faults(lambda calls: calls.disconnect(targets.fabric, container))
    if await targets.address(fault.node) is not None:
        return Bite(False, "the engine still shows it on the fabric")
    if target.life is None:
        return Bite(False, f"{fault.node} is down; it is off the fabric when it comes back")
    if witness is None:
        return Bite(False, "it is off the fabric, but no other node is on it that could notice")
    # By its address if it had one: some engines leave lookups of names that are gone without an answer, which takes seconds.
    after = await _seen_by(targets, witness, target, had)
    evidence = f"{witness.name} looks for {fault.node}: {before} before, {after} after; the engine shows it off the fabric"
    return Bite((had is None or before in HEARD) and after not in HEARD, evidence)


async def plug(targets: Targets, fault: Unplug) -> Healing:
    """Put a node back, under its name."""
    target = targets.by_name[fault.node]
    container = target.place.container
    await targets.engine.faults(lambda calls: calls.connect(targets.fabric, container, [fault.node]))
    if target.life is None:
        return Healing(True, f"{fault.node} is down; it is on the fabric when it comes back")
    witness, after = await _witnessed(targets, target)
    if witness is None:
        shown = await targets.address(fault.node)
        return Healing(
            shown is not None, f"the engine shows it on the fabric at {shown}; nobody is there to look for it"
        )
    return Healing(after in HEARD, f"{witness.name} looks for {fault.node}: {after}")


async def _witnessed(targets: Targets, target: Target) -> tuple[Target | None, str]:
    """Another node, which can look for this one, and what it sees; best one that sees it."""
    seen: tuple[Target | None, str] = None, ""
    for witness in await _witnesses(targets, target):
        outcome = await _seen_by(targets, witness, target)
        if outcome in HEARD:
            return witness, outcome
        if outcome:
            seen = witness, outcome
    return seen


async def _witnesses(targets: Targets, target: Target) -> Sequence[Target]:
    """All others that run; who is off the fabric sees nobody, whatever is done to this one."""
    there = (targets.by_name[name] for name in await targets.addresses() if name != target.name)
    return [other for other in there if other.life is not None and not other.life.paused]


async def _seen_by(targets: Targets, witness: Target, target: Target, address: str | None = None) -> str:
    """What becomes of a connection to an address, by default to a name; empty if the witness itself is gone or frozen."""
    place, within_s = (target.name, _HEARS_S) if address is None else (address, _HANGS_S)
    command = [*RUN_ALONE, SIDE_CAR, "connect", place, str(target.port), str(within_s)]
    try:
        ended = await targets.engine.faults(lambda calls: calls.execute(witness.place.container, command))
        return str(orjson.loads(ended.output))
    except (EngineError, orjson.JSONDecodeError):
        return ""
