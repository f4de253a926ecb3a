"""For tests of omissions: blocks as their makers tell them, honest or not, at a shock that leaves three accounts to be liquidated."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bridge.wire.keccak import to_hex
from bridge.wire.outputs import OutputParts
from rollup_node.engines.options.omissions import Holder, Omission, Step, holder_of, omissions
from rollup_node.engines.options.state import snapshot
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.testing_mutants import patched
from rollup_node.engines.options.transition import liquidation
from rollup_node.engines.options.transition.block import BlockContent, Executed, execute
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.parameters import Parameters
from rollup_node.engines.options.transition.sealing import Sealed, seal
from rollup_node.engines.options.transition.testing import CALL, DOLLAR, ONE, PARAMETERS, Desk, order
from rollup_node.engines.options.values import WAD

SHORTS = {"dan": 1_000, "eve": 900, "fay": 950}
"""Dollars of accounts that a shock ruins."""


@dataclass(frozen=True, slots=True)
class Made:
    """A block as its maker tells it, and the state before."""

    before: bytes
    content: BlockContent
    executed: Executed
    sealed: Sealed

    @property
    def world(self) -> World:
        """The state before it, as an honest node has it."""
        return snapshot.load(self.before)

    @property
    def steps(self) -> list[Step]:
        """What the header commits to."""
        raws = [receipt.raw for receipt in self.executed.receipts]
        return [Step(raw, root) for raw, (_, root) in zip(raws, self.executed.steps, strict=True)]

    @property
    def headers(self) -> tuple[bytes, ...]:
        """Up to the block of the output."""
        return (self.sealed.encoded,)

    @property
    def output(self) -> OutputParts:
        """That its maker proposes; the message passer's root doesn't matter here."""
        return OutputParts(to_hex(self.sealed.state_root), to_hex(b"\1" * 32), to_hex(self.sealed.hash))

    def holders(self, parameters: Parameters = PARAMETERS) -> list[Holder]:
        """Everybody, once rows are new."""
        world, found = self.world, list[Holder]()

        def look(_: Context) -> None:
            found.extend(holder_of(world, number) for number in sorted(world.accounts))

        execute(world, parameters, self.content, look)
        return found


def shock(parameters: Parameters = PARAMETERS, *, asked: bool = True) -> Desk:
    """Three short accounts, one more that can bear it, and makers; the next word of the feed is a shock."""
    desk = Desk(parameters)
    desk.open_market({"alice": 100_000, "bob": 100_000, "gil": 20_000})
    desk.block(*(desk.deposit(name, dollars * DOLLAR) for name, dollars in SHORTS.items()))
    bob, alice = desk.account("bob"), desk.account("alice")
    desk.block(desk.send("bob", "placeOrder", order(bob, CALL, 240 * DOLLAR, 4 * ONE)))
    desk.block(
        *(
            desk.send(name, "placeOrder", order(desk.account(name), CALL, 240 * DOLLAR, -ONE))
            for name in (*SHORTS, "gil")
        ),
        desk.send("eve", "setMode", desk.account("eve"), True),
    )
    if asked:
        desk.block(desk.send("alice", "placeOrder", order(alice, CALL, 760 * DOLLAR, -30 * ONE)))
    return desk


def make(desk: Desk, *transactions: bytes) -> Made:
    """The next block of a desk."""
    before = snapshot.dump(desk.world)
    executed = desk.block(*transactions)
    return made_of(before, desk.history[-1], executed)


def shocked(desk: Desk) -> Made:
    """The block of the shock."""
    bob = desk.account("bob")
    return make(
        desk,
        desk.send("bob", "placeOrder", order(bob, CALL, 800 * DOLLAR, ONE)),
        desk.update(3_600 * DOLLAR, volatility=WAD * 9 // 10),
    )


def leaves_out(desk: Desk, *names: str) -> Callable[[Any], Any]:
    """Makers that pass over some accounts: a mutant of ``liquidation.steps``."""
    spared = {desk.account(name) for name in names}

    def made(honest: Any) -> Any:
        def steps(world: World, context: Context) -> Iterable[tuple[str, tuple[Any, ...]]]:
            return (step for step in honest(world, context) if step[1][0] not in spared)

        return steps

    return made


def shocked_without(desk: Desk, *names: str) -> Made:
    """The block of the shock, made by somebody who passes over some accounts."""
    with patched(liquidation, "steps", leaves_out(desk, *names)):
        return shocked(desk)


def omissions_of(made: Made, parameters: Parameters = PARAMETERS) -> tuple[Omission, ...]:
    """The omissions that an honest node finds in a block."""
    return omissions(made.world, parameters, made.content, made.steps)


def made_of(before: bytes, content: BlockContent, executed: Executed) -> Made:
    """A block that was executed on a state, sealed."""
    return Made(before, content, executed, seal(executed, content, bytes(32), PARAMETERS.gas_limit))
