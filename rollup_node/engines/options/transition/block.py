"""The spine: one block, from raw transactions to receipts and roots.

::

    arrange ─► inbox ─► oracle ─► risk* ─► liquidations* ─► expiry and settlement* ─► breakers* ─► cancels and post-only
            ─► the rest ─► bundles ─► fee sweep*                                                     (*: derived steps)

Every transaction is a step: admission (may it be here? nonce, fee), effect (a section's function), and either all of its effect or none.
What is derived is executed as a transaction too, from a reserved sender, so that everything that changes the state has a hash, a
receipt and a root after it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from bridge.wire.atomic import Status
from bridge.wire.deposits import Deposit, encode_deposit
from bridge.wire.keccak import keccak256
from bridge.wire.system import DEPOSITOR_PREFIX
from rollup_node.engines.options.state.leaves import Owner
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.decode import Message, Section, read_message
from rollup_node.engines.options.transactions.interfaces import BY_NAME, MESSENGER
from rollup_node.engines.options.transactions.receipts import Receipt
from rollup_node.engines.options.transactions.refusals import Invalid, Refused
from rollup_node.engines.options.transition import breakers, fees, liquidation, risk, settlement
from rollup_node.engines.options.transition.accounts import credit_wei, owner_of, put_owner
from rollup_node.engines.options.transition.arrange import Placed, arrange
from rollup_node.engines.options.transition.calls import apply_message, gas_needed
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import Risks
from rollup_node.engines.options.transition.messenger import is_counterpart, take_custody
from rollup_node.engines.options.transition.parameters import Parameters
from rollup_node.engines.options.values import Overflow

DERIVED_SENDER: Final = DEPOSITOR_PREFIX + b"\x0c\x00"
"""Of derived steps; nobody has its key."""
MAX_MINT: Final = 1 << 128
"""There is no such amount; the same bound as on EVM rollups."""
_DERIVED_DOMAIN: Final = keccak256(b"rollnet.options.derived")

_new = tuple.__new__
"""Makes a NamedTuple for half of what calling it costs."""

Step = tuple[str, tuple[Any, ...]]
"""A derived call: function and arguments."""


@dataclass(frozen=True, slots=True)
class BlockContent:
    """Everything that determines a block, beside the world before it."""

    number: int
    timestamp: int
    """Unix seconds."""
    base_fee: int
    """Wei per gas."""
    transactions: Sequence[bytes]
    """Raw, as the payload has them."""


class Result(NamedTuple):
    """How one transaction of the payload fared."""

    hash: bytes
    status: Status
    reason: str = ""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Executed:
    """What a block came to."""

    receipts: tuple[Receipt, ...]
    """In the order of execution, derived steps among them."""
    results: tuple[Result, ...]
    """In the order of the payload."""
    root: bytes
    """Of the state."""
    steps: tuple[tuple[bytes, bytes], ...]
    """Transaction hash and root after it, where the parameters ask for them."""


def execute(
    world: World, parameters: Parameters, block: BlockContent, look: Callable[[Context], None] | None = None
) -> Executed:
    """Run a block on the world. Nothing in a payload makes this fail; what can't run is told in the results.

    Args:
        world: the state before it, which becomes that after it.
        parameters: of the rollup.
        block: what determines it.
        look: called once rows are new, before the liquidations, to look at the world as it is there; it changes nothing.
    """
    return _Run(world, parameters, block).run(look)


class _Run:
    """One execution."""

    def __init__(self, world: World, parameters: Parameters, block: BlockContent) -> None:
        self._world, self._parameters, self._block = world, parameters, block
        self._context = Context(parameters, block.number, block.timestamp, Risks(world), block.base_fee)
        self._receipts: list[Receipt] = []
        self._steps: list[tuple[bytes, bytes]] = []
        self._results: dict[int, Result] = {}
        self._gas = 0
        self._derived = 0

    def run(self, look: Callable[[Context], None] | None) -> Executed:
        """The sections, in their order."""
        world, context = self._world, self._context
        transactions = self._block.transactions
        arranged = arrange(transactions, self._parameters.chain_id)
        for index, reason in arranged.refused:
            self._results[index] = Result(keccak256(transactions[index]), "invalid", reason)
        world.globals = replace(
            world.globals, number=self._block.number, timestamp=self._block.timestamp, insurance_paid=0
        )

        self._users(arranged.of(Section.INBOX))
        self._users(arranged.of(Section.ORACLE))
        self._derive(risk.steps, world, context)
        context.marked = True
        if look is not None:
            look(context)
        self._derive(liquidation.steps, world, context)
        self._derive(settlement.steps, world, context)
        self._derive(breakers.steps, world, context)
        self._users(arranged.of(Section.MAKERS))
        self._users(arranged.of(Section.REST))
        self._users(arranged.of(Section.BUNDLES))
        self._derive(fees.steps, world, context)

        results = tuple(self._results[index] for index in range(len(transactions)))
        return Executed(tuple(self._receipts), results, world.root(), tuple(self._steps))

    def _users(self, placed: Iterable[Placed]) -> None:
        for one in placed:
            try:
                receipt = self._step(one.message)
            except Invalid as exc:
                status: Status = "gap" if exc.gap else "invalid"
                self._results[one.index] = Result(one.message.hash, status, exc.reason)
            else:
                self._results[one.index] = _new(
                    Result, (receipt.hash, receipt.status, receipt.reason, receipt.data)
                )

    def _derive(
        self, steps: Callable[[World, Context], Iterable[Step]], world: World, context: Context
    ) -> None:
        """Execute what follows from the state; a section is asked again after each of its steps, so it may look at what came of it."""
        for name, arguments in steps(world, context):
            self._step(self._derived_message(name, arguments))

    def _derived_message(self, name: str, arguments: tuple[Any, ...]) -> Message:
        call = BY_NAME[name]
        data = call.selector + abi.encode(call.arguments, arguments)
        place = self._block.number.to_bytes(32, "big") + self._derived.to_bytes(32, "big")
        self._derived += 1
        source = keccak256(_DERIVED_DOMAIN + keccak256(place + keccak256(data)))
        return read_message(
            encode_deposit(Deposit(source, DERIVED_SENDER, call.target, 0, 0, 0, is_system=False, data=data))
        )

    def _step(self, message: Message) -> Receipt:
        """One transaction: admitted, or :class:`Invalid`; then all of its effect, or none."""
        world, context = self._world, self._context
        context.logs, context.gas, context.bound = [], 0, None
        context.actor, context.value = message.sender, message.value
        context.from_l1 = message.is_deposit and not message.is_system
        before = world.mark()
        try:
            nonce, price, limit = self._admit(message)
        except (Invalid, Refused, Overflow) as exc:
            world.undo(before)
            if isinstance(exc, Invalid):
                raise
            raise Invalid(str(exc)) from exc
        needed = 0 if limit is None else gas_needed(message)
        context.gas_limit = None if limit is None else limit - needed
        kept, effect, forgotten = len(context.logs), world.mark(), context.risks.forgotten
        status: Status = "success"
        reason, data = "", b""
        try:
            data = apply_message(world, context, message)
            if limit is not None and needed + context.gas > limit:
                raise Refused("OutOfGas", needed + context.gas, limit)
        except (Refused, Overflow) as exc:
            world.undo(effect)
            if context.risks.forgotten != forgotten:
                context.risks.forget_all()
            refused = exc if isinstance(exc, Refused) else Refused("OutOfRange")
            status, reason, data = "failed", refused.reason, refused.data
            del context.logs[kept:]
        used = 0 if limit is None else min(limit, needed + context.gas)
        if price:
            fees.settle_gas(world, message.sender, limit or 0, used, price)
        self._gas += used
        receipt = _new(Receipt, (
            message.hash, message.raw, message.sender, status, used, self._gas, price,
            tuple(context.logs), reason, data, nonce if message.is_deposit else None,
        ))  # fmt: skip
        self._receipts.append(receipt)
        if self._parameters.step_roots:
            self._steps.append((message.hash, world.root()))
        return receipt

    def _admit(self, message: Message) -> tuple[int, int, int | None]:
        """Spend the nonce; returns it, the price of gas, and the gas that the transaction may use (None: it isn't counted)."""
        world, context = self._world, self._context
        if message.is_system:
            return 0, 0, None
        owner = owner_of(world, message.sender) or Owner(message.sender, 0, ())
        if message.mint >= MAX_MINT:
            raise Invalid(f"a deposit mints less than 2^128 wei, not {message.mint}")
        if message.is_deposit:
            self._credit(message, owner)
            return owner.nonce, 0, message.gas
        put_owner(world, context, Owner(owner.address, owner.nonce + 1, owner.accounts))
        assert message.nonce is not None
        if message.nonce > owner.nonce:
            raise Invalid(f"waits for nonce {owner.nonce} of 0x{message.sender.hex()}", gap=True)
        if message.nonce < owner.nonce:
            raise Invalid(f"nonce too low: next nonce {owner.nonce}, tx nonce {message.nonce}")
        limit = self._parameters.gas_limit
        if message.gas > limit - self._gas:
            raise Invalid(f"{message.gas} gas is more than the {limit - self._gas} that the block has left")
        price = 0
        if not self._parameters.gas_free:
            if message.max_fee < context.base_fee:
                raise Invalid(
                    f"max fee per gas less than block base fee: {message.max_fee} < {context.base_fee}"
                )
            price = min(message.max_fee, context.base_fee + message.priority_fee)
            fees.advance_gas(world, context, owner, message, price)
        return message.nonce, price, message.gas

    def _credit(self, message: Message, owner: Owner) -> None:
        """What L1 minted is here, whatever becomes of the call; if the sender can't have it (its bucket is full), the rollup keeps it."""
        world, context = self._world, self._context
        mark, in_custody = world.mark(), message.to == MESSENGER and is_counterpart(context, message.sender)
        try:
            put_owner(world, context, replace(owner, nonce=owner.nonce + 1))
            if in_custody:
                take_custody(world, message.mint)
            else:
                credit_wei(world, context, message.sender, message.mint)
        except (Refused, Overflow):
            world.undo(mark)
            context.logs.clear()
            if in_custody:  # its call gives these wei to somebody, whether its sender is known or not
                take_custody(world, message.mint)
                return
            now = world.globals
            world.globals = replace(now, dust=now.dust + message.mint, vault=now.vault + message.mint)
