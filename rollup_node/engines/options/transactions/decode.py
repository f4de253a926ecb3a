"""From a block's raw bytes to what the transition executes: who sends what to whom, and in which section it belongs.

::

    raw ─► decode_transaction / decode_deposit ─► Message (sender, target, data, value)     Malformed: invalid, not in the block
    Message ─► decode_call ─► Call (function, arguments)                                    Refused: a failed receipt
    Message, Call ─► section ─► the block's order                                           a bad call goes with the rest
"""

from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

from bridge.wire.deposits import DEPOSIT_TYPE, decode_deposit
from bridge.wire.errors import Malformed
from bridge.wire.keccak import keccak256
from bridge.wire.system import DEPOSITOR_PREFIX
from bridge.wire.transaction import decode_transaction
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.interfaces import (
    ACCOUNTS,
    EXCHANGE,
    FUNCTIONS,
    GUARD,
    ORACLE,
    Function,
)
from rollup_node.engines.options.transactions.refusals import Refused

_new = tuple.__new__
"""Makes a NamedTuple for half of what calling it costs."""
POST_ONLY = 3
"""Time in force of an order that can only add to the book."""


class Section(IntEnum):
    """Of a block, in order."""

    INBOX = 0
    ORACLE = 1
    RISK = 2
    LIQUIDATION = 3
    SETTLEMENT = 4
    MAKERS = 5
    """Cancels and post-only orders."""
    REST = 6
    BUNDLES = 7
    SWEEP = 8


class Message(NamedTuple):
    """One transaction, whatever its type."""

    raw: bytes
    hash: bytes
    sender: bytes
    to: bytes | None
    data: bytes
    value: int
    """Wei."""
    mint: int
    """Wei; zero but for deposits."""
    nonce: int | None
    """None: a deposit has none."""
    gas: int
    max_fee: int
    """Wei per gas."""
    priority_fee: int
    chain_id: int | None
    """None: a deposit is for this rollup."""
    call: "Call | Refused"
    """What it asks of a system address, decoded once."""
    is_deposit: bool = False
    """Whether it comes from L1 or from the protocol."""
    is_system: bool = False
    """Whether the protocol itself sends it."""


class Call(NamedTuple):
    """A decoded call."""

    function: Function
    arguments: tuple[Any, ...]


@lru_cache(maxsize=65_536)
def read_message(raw: bytes) -> Message:
    """A transaction of a block; signatures are recovered once and remembered.

    Raises:
        Malformed: it is none.
    """
    if raw[:1] == DEPOSIT_TYPE:
        deposit = decode_deposit(raw)
        return Message(
            raw, keccak256(raw), deposit.sender, deposit.to, deposit.data, deposit.value, deposit.mint, None,
            deposit.gas, 0, 0, None, _decoded(deposit.to, deposit.data),
            is_deposit=True, is_system=deposit.sender.startswith(DEPOSITOR_PREFIX),
        )  # fmt: skip
    sent = decode_transaction(raw)
    return _new(Message, (
        raw, sent.hash, sent.sender, sent.to, sent.data, sent.value, 0, sent.nonce,
        sent.gas, sent.max_fee, sent.priority_fee, sent.chain_id, _decoded(sent.to, sent.data), False, False,
    ))  # fmt: skip


def decode_call(target: bytes | None, data: bytes) -> Call:
    """What calldata asks of a system address.

    Raises:
        Refused: it isn't the one encoding of a call that exists there.
    """
    functions = FUNCTIONS.get(target) if target is not None else None
    if functions is None:
        raise Refused("UnknownTarget", target or bytes(20))
    selector = data[:4]
    function = functions.get(selector)
    if function is None:
        assert target is not None
        raise Refused("UnknownFunction", target, selector.ljust(4, b"\0"))
    try:
        return Call(function, abi.decode(function.arguments, data[4:]))
    except Malformed:
        raise Refused("MalformedCall", selector) from None


def section_of(message: Message) -> Section:
    """Where a single transaction belongs by its content alone; the block's order also looks at its sender's earlier ones."""
    if message.is_deposit:
        return Section.INBOX
    return _section(message.call)


def _decoded(target: bytes | None, data: bytes) -> "Call | Refused":
    try:
        return decode_call(target, data)
    except Refused as exc:
        return exc


def _section(call: "Call | Refused") -> Section:
    if isinstance(call, Refused):
        return Section.REST
    target, name = call.function.target, call.function.name
    if target == ORACLE:
        return Section.ORACLE
    if target == ACCOUNTS and name == "act":
        return carried_section(call.arguments[0])
    if target == ACCOUNTS and name == "actAll":
        return max(map(carried_section, call.arguments[0]), default=Section.REST)
    if target == EXCHANGE and _adds_or_cancels(call):
        return Section.MAKERS
    return Section.REST


def carried_section(action: tuple[Any, ...]) -> Section:
    """Section of the call that an action carries; an action can't carry an action, nor the oracle's word."""
    return _section(_decoded(action[4], action[5])) if action[4] == EXCHANGE else Section.REST


def _adds_or_cancels(call: Call) -> bool:
    match call.function.name:
        case "cancelOrder" | "cancelAll":
            return True
        case "placeOrder":
            return bool(call.arguments[0][5] == POST_ONLY)
        case "replaceOrder":
            return bool(call.arguments[2][5] == POST_ONLY)
    return False


def is_guard(message: Message) -> bool:
    """Whether it opens or closes a bundle."""
    return message.is_system and message.to == GUARD
