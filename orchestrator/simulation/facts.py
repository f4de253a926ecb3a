"""What was seen of a schedule: the input of every checker, and what has to be looked at while it happens."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.wire.derivation import Derivation, Rules
from bridge.wire.transaction import decode_transaction
from orchestrator.simulation.accounts import Made
from orchestrator.simulation.disk import SimulatedDisk
from orchestrator.simulation.layer1 import Layer1
from orchestrator.simulation.ledger import Ledger
from orchestrator.simulation.loop import Process
from orchestrator.simulation.schedule import Schedule
from rollup_node.chain import Chain


@dataclass(slots=True)
class Rollup:
    """One rollup as it was seen, over all its lives."""

    chain_id: int
    disk: SimulatedDisk
    process: Process | None = None
    boots: int = 0
    chain: Chain | None = None
    derivation: Derivation | None = None
    served: dict[int, Made] = field(default_factory=dict)
    """By number: the last one that was served there."""
    head: int = 0
    term: int = 0
    """Highest that it has answered."""


@dataclass(slots=True)
class Facts:
    """Everything that checkers look at."""

    schedule: Schedule
    rules: Rules
    ledger: Ledger
    layer1: Layer1
    rollups: dict[int, Rollup]
    problems: list[tuple[str, str]] = field(default_factory=list)
    """What was wrong the moment it happened: checker and words."""
    acknowledged: dict[str, float] = field(default_factory=dict)
    """When users were told that an item is in."""
    timeline: list[tuple[float, str]] = field(default_factory=list)
    deaths: int = 0
    """Of nodes, by crashes that came about."""
    drained: bool = False
    safe_slots: int = 0
    """So many slots of the log are on L1 and safe, once everything has drained."""
    ended: float = 0.0
    """Virtual time."""
    steps: int = 0

    def note(self, at: float, words: str) -> None:
        """Something for people, and for the trace."""
        self.timeline.append((at, words))

    @property
    def trace(self) -> str:
        """Digest of everything that happened: equal for equal executions."""
        return hashlib.sha256(repr((self.timeline, self.ledger.history, self.steps)).encode()).hexdigest()


def waiting(facts: Facts) -> list[str]:
    """Items that could run and have not ended, as durable log and served nonces say."""
    found = []
    for key, item in facts.ledger.items.items():
        if item.outcome is None and not stuck(facts, item.raws):
            found.append(key)
    return found


def stuck(facts: Facts, raws: Sequence[bytes]) -> bool:
    """Whether a leg's nonce is not the next one: such an item waits until its time is over."""
    nonces: dict[tuple[int, bytes], int] = {}
    for raw in raws:
        leg = decode_transaction(raw)
        rollup = facts.rollups[leg.chain_id]
        made = rollup.served.get(rollup.head)
        expected = nonces.get((leg.chain_id, leg.sender))
        if expected is None:
            expected = made.nonces.get(leg.sender, 0) if made is not None else 0
        if leg.nonce != expected:
            return True
        nonces[leg.chain_id, leg.sender] = expected + 1
    return False


def serve(facts: Facts, rollup: Rollup, made: Made) -> None:
    """What must hold whenever a block is served."""
    number, chain = made.header.number, rollup.chain_id
    before = rollup.served.get(number)
    if before is not None and before.header.hash != made.header.hash and not excused(facts):
        facts.problems.append(
            (
                "stable",
                f"rollup {chain} served block {number} {before.header.hash[:10]}, now {made.header.hash[:10]}",
            )
        )
    for digest, _ in made.included:
        if digest not in facts.ledger.decided:
            facts.problems.append(
                ("decided", f"rollup {chain} serves {digest[:10]} in block {number}, which is not decided")
            )


def excused(facts: Facts) -> bool:
    """Whether L1 has changed its mind: what stood on it may fall."""
    return facts.layer1.reorganised or bool(facts.ledger.cuts) or bool(facts.ledger.forced)
