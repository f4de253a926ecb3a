"""Proofs that a block has left out a liquidation, for ``LiquidationOmission`` on L1. Pure.

::

    the state before the block ─► what an honest block does, up to the new rows ─► who is below maintenance margin
    the block's own steps ─► the last new rows, and the section after them ─► whom it liquidates
    below, and not liquidated ─► leaves of account, series, rows, oracles in the state after the new rows ─► Omission

Whoever proves needs the payload (L1 has it), the state before (any honest node has it), and the steps that the block's header commits to,
from whoever made the block (``options_getSteps``). A maker that withholds them proves nothing to anybody, and ``rollnet verify`` names its
wrong root all the same. What the proofs can show and what not stands in the contract, and in decision 14.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.wire.keccak import keccak256
from rollup_node.engines.options.state.leaves import Account, Kind
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions.decode import Call, read_message
from rollup_node.engines.options.transactions.interfaces import LIQUIDATION, RISK
from rollup_node.engines.options.transition.block import DERIVED_SENDER, BlockContent, execute
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.oracle import LIVE
from rollup_node.engines.options.transition.parameters import Parameters
from rollup_node.engines.options.transition.sealing import step_proofs
from rollup_node.engines.options.transition.shortfalls import below_maintenance

_LATER: Final = frozenset({"expireOrders", "settle", "moveBreaker", "sweepFees"})
"""Derived steps of later sections."""

Leaf = tuple[bytes, bytes]
"""A leaf's encoding, and its proof's."""


class Unprovable(ValueError):  # noqa: N818 - says what it is
    """The block deviates in a way that no proof of this kind shows; verify it whole (``rollnet verify``)."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step as the block's maker tells it."""

    raw: bytes
    root: bytes
    """Of the state after it."""


@dataclass(frozen=True, slots=True)
class Section:
    """The last new rows of a block, and all after it up to the first step of another section."""

    count: int
    """Steps of the block."""
    first: int
    """Place of the new rows."""
    steps: tuple[Step, ...]
    siblings: tuple[tuple[bytes, ...], ...]
    """Of each step."""

    def arguments(self, headers: Sequence[bytes]) -> tuple[Any, ...]:
        """As the contract takes it.

        Args:
            headers: of the block, and of those after it up to the output's.
        """
        steps = tuple(
            (step.raw, step.root, siblings) for step, siblings in zip(self.steps, self.siblings, strict=True)
        )
        return tuple(headers), self.count, self.first, steps


@dataclass(frozen=True, slots=True)
class Holder:
    """An account in a state, and all that its margin follows from."""

    number: int
    account: Leaf
    series: tuple[Leaf, ...]
    rows: tuple[Leaf, ...]
    oracles: tuple[Leaf, ...]

    @property
    def arguments(self) -> tuple[Any, ...]:
        """As the contract takes it."""
        return self.number, self.account, self.series, self.rows, self.oracles


@dataclass(frozen=True, slots=True)
class Omission:
    """A liquidation that a block has left out, shown."""

    section: Section
    holder: Holder


def omissions(
    world: World, parameters: Parameters, block: BlockContent, steps: Sequence[Step]
) -> tuple[Omission, ...]:
    """Every omission of a block that can be proven, by account.

    Args:
        world: the state before the block; it is that again afterwards.
        parameters: of the rollup.
        block: what the block was to be made of.
        steps: what it was made of, as its maker says.

    Raises:
        Unprovable: the maker's state is another one before it comes to liquidations.
    """
    section = section_of(steps)
    found: list[Omission] = []

    def look(context: Context) -> None:
        if not context.moved:
            return
        if section is None or section.steps[0].root != world.root():
            raise Unprovable(f"block {block.number} doesn't have the rows that follow from its payload")
        taken = [number for step in section.steps if (number := _liquidated(step.raw)) is not None]
        if len(taken) >= parameters.max_liquidations:
            return
        missing = {number for number, _ in below_maintenance(world, context)} - set(taken)
        found.extend(
            Omission(section, holder_of(world, number))
            for number in sorted(missing)
            if not _holds_legs(world.accounts[number])
        )

    mark = world.mark()
    try:
        execute(world, parameters, block, look)
    finally:
        world.undo(mark)
    return tuple(found)


def section_of(steps: Sequence[Step]) -> Section | None:
    """The section of liquidations among a block's steps; None if no rows were new."""
    first = max(
        (place for place, step in enumerate(steps) if _derived(step.raw) == "updateRows"), default=None
    )
    if first is None:
        return None
    end = first + 1
    while end < len(steps) and _derived(steps[end].raw) not in (None, *_LATER):
        end += 1
    chosen = tuple(steps[first : end + 1])
    known = [(keccak256(step.raw), step.root) for step in steps]
    siblings = tuple(map(tuple, step_proofs(known, range(first, first + len(chosen)))))
    return Section(len(steps), first, chosen, siblings)


def holder_of(world: World, number: int) -> Holder:
    """An account in the state as it is, with everything that its margin follows from."""
    positions = [series for series, _ in world.accounts[number].positions]
    live = [world.series[series] for series in positions if world.series[series].status == LIVE]
    return Holder(
        number,
        _leaf(world, Kind.ACCOUNT, number),
        tuple(_leaf(world, Kind.SERIES, series) for series in positions),
        tuple(_leaf(world, Kind.RISK, series) for series in positions),
        tuple(_leaf(world, Kind.ORACLE, one) for one in sorted({series.underlying for series in live})),
    )


def _leaf(world: World, kind: Kind, number: int) -> Leaf:
    proven = world.prove(kind, number)
    assert proven.leaf is not None, f"there is no leaf {kind.name} {number}"
    return proven.leaf, proven.proof.encode()


def _call(raw: bytes) -> Call | None:
    """What a derived step calls; None if it is no derived step. Not remembered: anybody may claim anything to be a step."""
    message = read_message.__wrapped__(raw)
    return message.call if message.sender == DERIVED_SENDER and isinstance(message.call, Call) else None


def _derived(raw: bytes) -> str | None:
    """Name of what a derived step calls, on the risk or the liquidation address."""
    call = _call(raw)
    return None if call is None or call.function.target not in (RISK, LIQUIDATION) else call.function.name


def _liquidated(raw: bytes) -> int | None:
    call = _call(raw)
    return None if call is None or call.function.name != "liquidate" else int(call.arguments[0])


def _holds_legs(account: Account) -> bool:
    """Whether its margin is more than the contract computes."""
    return bool(account.locks or account.locked or account.due)
