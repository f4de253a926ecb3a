"""Schedules: what users ask for and what goes wrong, each at its time. One seed, one schedule.

A schedule is a plain sequence of frozen entries, so it can be shrunk by leaving entries out; nothing in an entry depends on the others.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from orchestrator.simulation.accounts import ACCOUNTS, Act, Instruction

HEAL = 4.5
"""Virtual seconds until which things go wrong; then everything is healed."""
FIRST_CHAIN = 901


@dataclass(frozen=True, slots=True)
class Leg:
    """One transaction of a user."""

    chain_id: int
    account: int
    nonce: int
    program: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Submit:
    """Send a bundle, or a single transaction, and go on until it is acknowledged or refused."""

    at: float
    legs: tuple[Leg, ...]
    bundle: bool
    deadline: int = 1_000
    """Of a bundle, virtual seconds from the beginning."""
    again: float = 0.0
    """Sent once more so much later, acknowledged or not; 0 is never."""


@dataclass(frozen=True, slots=True)
class Deposit:
    """A user deposits on L1."""

    at: float
    chain_id: int
    account: int


@dataclass(frozen=True, slots=True)
class Crash:
    """A node dies at one of its next boundaries (around each write, sync, request and answer), and is started again."""

    at: float
    node: str
    boundary: int
    """Which one from then on."""
    share: float
    """How much of what was written and not synced survives."""
    down: float
    """Seconds until it is started again."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A node takes no step for a while."""

    at: float
    node: str
    seconds: float


@dataclass(frozen=True, slots=True)
class TwoLeaders:
    """The sequencer stalls, is replaced by another on the same log, and goes on without its disk as if nothing had happened."""

    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something is wrong with a directed link for a while."""

    at: float
    source: str
    target: str
    kind: str
    """``cut``, ``deaf`` (answers are lost), ``slow`` (and out of order), ``doubled``."""
    seconds: float


@dataclass(frozen=True, slots=True)
class L1Stall:
    """No L1 blocks for a while."""

    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class L1Hold:
    """L1 blocks without anything of the pool for a while."""

    at: float
    seconds: float


@dataclass(frozen=True, slots=True)
class L1Reorganise:
    """L1 goes back and on differently; lost transactions return to the pool, or not."""

    at: float
    depth: int
    keep: bool


@dataclass(frozen=True, slots=True)
class Forge:
    """Something that must not count appears in the batch inbox."""

    at: float
    kind: str
    """``replay`` (an old superbatch), ``deposed`` (a term that is over), ``parent`` (another parent), ``stranger`` (not the batcher's)."""


@dataclass(frozen=True, slots=True)
class Skew:
    """A node's wall clock is set for good."""

    at: float
    node: str
    seconds: float


@dataclass(frozen=True, slots=True)
class DiskFull:
    """The sequencer's disk takes nothing for a while."""

    at: float
    seconds: float


Entry: TypeAlias = (
    Submit
    | Deposit
    | Crash
    | Pause
    | TwoLeaders
    | Trouble
    | L1Stall
    | L1Hold
    | L1Reorganise
    | Forge
    | Skew
    | DiskFull
)


@dataclass(frozen=True, slots=True)
class Setting:
    """The devnet of a schedule."""

    seed: int
    """Of message delays."""
    chains: tuple[int, ...]
    window: int
    """Sequencing window, L1 blocks."""
    confirmations: int
    l1_block_s: float


@dataclass(frozen=True, slots=True)
class Schedule:
    """A setting and what happens in it."""

    setting: Setting
    entries: tuple[Entry, ...]


def draw(seed: int) -> Schedule:
    """The schedule of a seed."""
    dice = random.Random(seed)
    count = 3 if dice.random() < 0.2 else 2
    chains = tuple(range(FIRST_CHAIN, FIRST_CHAIN + count))
    setting = Setting(
        seed, chains, dice.choice((3, 30, 30)), dice.choice((0, 0, 1)), dice.choice((1.0, 1.6, 1.6))
    )
    entries = [*_workload(dice, chains), *_faults(dice, chains)]
    return Schedule(setting, tuple(sorted(entries, key=lambda entry: entry.at)))


def told(entry: Entry) -> str:
    """One entry of a schedule in words."""
    if isinstance(entry, Submit):
        kind = "bundle" if entry.bundle else "transaction"
        again = f", again {entry.again:g} s later" if entry.again else ""
        deadline = f", until {entry.deadline} s" if entry.bundle and entry.deadline < 1_000 else ""
        return f"a {kind} is sent: {'; '.join(map(_told_leg, entry.legs))}{deadline}{again}"
    members = [name for name in entry.__dataclass_fields__ if name != "at"]
    return f"{type(entry).__name__}: " + ", ".join(f"{name} {getattr(entry, name)!s:.12}" for name in members)


def _told_leg(leg: Leg) -> str:
    acts = ", ".join(f"{act.name.lower()} {account} {amount}" for act, account, amount in leg.program)
    return f"on {leg.chain_id} account {leg.account} #{leg.nonce} {acts}"


def _workload(dice: random.Random, chains: tuple[int, ...]) -> list[Entry]:
    nonces: dict[tuple[int, int], int] = {}
    entries: list[Entry] = []
    clock = 0.4
    for _ in range(dice.randint(3, 8)):
        clock += dice.choice((0.0, 0.01, 0.2, 0.6))
        draw = dice.random()
        if draw < 0.08:
            chain, account = dice.choice(chains), dice.randrange(ACCOUNTS)
            entries.append(Deposit(clock, chain, account))
            continue
        again = dice.choice((0.0, 0.0, 0.0, 0.3, 2.0))
        if draw < 0.25:
            entries += _entangled(dice, nonces, chains, clock)
            continue
        if draw < 0.42:
            leg = _leg(dice, nonces, dice.choice(chains), dice.randrange(ACCOUNTS), dice.choice((5, 30, 80)))
            entries.append(Submit(clock, (leg,), bundle=False, again=again))
            continue
        width = dice.randint(2, len(chains))
        first, second = dice.sample(range(ACCOUNTS), 2)
        amount = dice.choice((5, 5, 30, 30, 80, 120))
        legs = []
        for place, chain in enumerate(dice.sample(chains, width)):
            payer, payee = (first, second) if place % 2 == 0 else (second, first)
            legs.append(_leg(dice, nonces, chain, payer, amount, payee))
        deadline = dice.choice((1_000, 1_000, 1_000, int(clock) + 2))
        entries.append(Submit(clock, tuple(legs), bundle=True, deadline=deadline, again=again))
    return entries


def _entangled(
    dice: random.Random, nonces: dict[tuple[int, int], int], chains: tuple[int, ...], clock: float
) -> list[Entry]:
    """Two bundles at once: the first fails, and the second would fail (or succeed) only because of it."""
    here, there = dice.sample(chains, 2)
    first, second, third = dice.sample(range(ACCOUNTS), 3)
    doomed = (
        Leg(here, first, _next(nonces, here, first), ((Act.PAY, second, 80),)),
        Leg(there, second, _next(nonces, there, second), ((Act.PAY, first, 250),)),
    )
    need = dice.choice(((Act.NEED, first, 60), (Act.NEED, second, 150)))
    after = (
        Leg(here, third, _next(nonces, here, third), (need, (Act.PAY, second, 5))),
        Leg(there, third, _next(nonces, there, third), ((Act.PAY, first, 5),)),
    )
    return [Submit(clock, doomed, bundle=True), Submit(clock + 0.005, after, bundle=True)]


def _next(nonces: dict[tuple[int, int], int], chain: int, account: int) -> int:
    """A nonce, and one more the next time."""
    nonce = nonces.get((chain, account), 0)
    nonces[chain, account] = nonce + 1
    return nonce


def _leg(
    dice: random.Random,
    nonces: dict[tuple[int, int], int],
    chain: int,
    account: int,
    amount: int,
    payee: int | None = None,
) -> Leg:
    nonce = nonces.get((chain, account), 0)
    if dice.random() < 0.92:  # else the next one has the same nonce
        nonces[chain, account] = nonce + 1
    to = (account + 1) % ACCOUNTS if payee is None else payee
    program: tuple[Instruction, ...] = ((Act.PAY, to, amount),)
    if dice.random() < 0.15:
        program = ((Act.NEED, to, dice.choice((60, 101))), *program)
    return Leg(chain, account, nonce, program)


def _faults(dice: random.Random, chains: tuple[int, ...]) -> list[Entry]:
    nodes = ["sequencer", *(f"rollup-{chain}" for chain in chains)]
    return [_fault(dice, nodes) for _ in range(dice.choice((0, 1, 1, 2, 2, 3, 4)))]


def _fault(dice: random.Random, nodes: list[str]) -> Entry:
    at = 0.3 + dice.random() * 3.2
    make = dice.choices(tuple(_FAULTS), tuple(_FAULTS.values()))[0]
    return make(dice, nodes, at, dice.choice((0.1, 0.5, 1.5)))


def _crash(dice: random.Random, nodes: list[str], at: float, _: float) -> Entry:
    victim = "sequencer" if dice.random() < 0.7 else dice.choice(nodes)
    share = dice.choice((0.0, dice.random(), 1.0))
    return Crash(at, victim, dice.randint(1, 14), share, dice.choice((0.1, 1.0)))


def _link(dice: random.Random, nodes: list[str], at: float, seconds: float) -> Entry:
    node = dice.choice(nodes)
    rollup = node if node != "sequencer" else nodes[1]
    source, target = dice.choice(
        (
            ("sequencer", rollup),
            (rollup, "sequencer"),
            (rollup, nodes[2] if rollup == nodes[1] else nodes[1]),
            (node, "l1"),
            ("l1", node),
            ("client", "sequencer"),
        )
    )
    return Trouble(at, source, target, dice.choice(("cut", "deaf", "slow", "doubled")), seconds)


_FAULTS: dict[Callable[[random.Random, list[str], float, float], Entry], float] = {
    _crash: 34,
    _link: 22,
    lambda dice, nodes, at, seconds: Pause(at, dice.choice(nodes), seconds): 7,
    lambda _dice, _nodes, at, seconds: TwoLeaders(at, seconds): 8,
    lambda dice, _nodes, at, _seconds: L1Stall(at, dice.choice((1.0, 3.0))): 5,
    lambda dice, _nodes, at, _seconds: L1Hold(at, dice.choice((1.0, 4.0))): 5,
    lambda dice, _nodes, at, _seconds: L1Reorganise(at, dice.randint(1, 4), dice.random() < 0.5): 8,
    lambda dice, _nodes, at, _seconds: Forge(at, dice.choice(("replay", "deposed", "parent", "stranger"))): 8,
    lambda dice, nodes, at, _seconds: Skew(at, dice.choice(nodes), dice.choice((-5.0, 3.0))): 3,
    lambda _dice, _nodes, at, seconds: DiskFull(at, seconds): 2,
}
"""What goes wrong, with its weight."""
