"""What can be called on an options rollup: system addresses, functions, events, errors.

The published form is the Solidity in ``bridge/contracts/src/options``; a test holds these tables to the compiled interfaces, name by
name and type by type. They stand here once more because the engine needs them at hand, with the section and the gas of each.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from bridge.wire.keccak import keccak256
from rollup_node.engines.options.transactions import abi


def _address(number: int) -> bytes:
    return bytes.fromhex("4200" + "00" * 16) + number.to_bytes(2, "big")


ACCOUNTS: Final = _address(0x0C01)
"""IOptionsAccounts; also the verifying contract of everything that is signed with EIP-712."""
EXCHANGE: Final = _address(0x0C02)
ORACLE: Final = _address(0x0C03)
RISK: Final = _address(0x0C04)
LIQUIDATION: Final = _address(0x0C05)
MESSAGE_PASSER: Final = _address(0x0016)
"""The OP Stack's; takes withdrawals as on every other rollup."""
GUARD: Final = _address(0x0B00)
"""BundleGuard, called by system transactions around the legs of a bundle."""
L1_BLOCK: Final = _address(0x0015)
"""The OP Stack's; the first deposit of a block tells it of the block's L1 origin."""

ORDER: Final = "(uint32,uint32,bool,uint64,uint64,uint8,uint8,bool,uint64,uint64)"
LEG: Final = "(uint32,uint64,int64)"
QUOTE: Final = f"(uint32,uint32,uint64,uint64,{LEG}[])"
ACTION: Final = "(uint32,uint64,uint64,bytes32,address,bytes)"
UPDATE: Final = "(bytes32,uint64,uint64,uint64,uint64,uint64,(uint64,uint64)[],(uint64,uint64,uint64)[])"


@dataclass(frozen=True, slots=True)
class Function:
    """Something that a transaction can call."""

    target: bytes
    """System address."""
    name: str
    types: str
    """Canonical argument list."""
    gas: int
    """What it uses besides its calldata; a fixed schedule, so that block limits mean something."""
    scope: int = 0
    """What a session key needs to sign it as an action (see :class:`Scope`); 0: only the owner."""
    inbox: bool = False
    """Whether L1 can force it."""
    system: bool = False
    """Whether only system senders call it."""
    payable: bool = False
    arguments: abi.Struct = field(init=False)
    selector: bytes = field(init=False)

    def __post_init__(self) -> None:
        kind = abi.parse(self.types)
        assert isinstance(kind, abi.Struct)
        object.__setattr__(self, "arguments", kind)
        object.__setattr__(self, "selector", keccak256((self.name + self.types).encode())[:4])


class Scope:
    """What a session key may sign, bit by bit."""

    TRADE = 1
    CANCEL = 2
    TRANSFER = 4
    ALL = 7


_CALLS: Final = (
    Function(ACCOUNTS, "openAccount", "()", 30_000),
    Function(ACCOUNTS, "registerKey", "(uint32,address,uint8,uint64)", 30_000),
    Function(ACCOUNTS, "revokeKey", "(uint32,address)", 20_000, Scope.CANCEL, inbox=True),
    Function(ACCOUNTS, "setMode", "(uint32,bool)", 40_000),
    Function(ACCOUNTS, "transfer", "(uint32,uint32,uint128)", 40_000, Scope.TRANSFER, inbox=True),
    Function(ACCOUNTS, "withdraw", "(uint32,address,uint128)", 60_000, inbox=True),
    Function(ACCOUNTS, "deposit", "(uint32)", 20_000, inbox=True, payable=True),
    Function(ACCOUNTS, "act", f"({ACTION},bytes)", 10_000),
    Function(ACCOUNTS, "actAll", f"({ACTION}[],bytes[])", 10_000),
    Function(EXCHANGE, "listSeries", "(bytes32,uint64,uint64,bool)", 60_000),
    Function(EXCHANGE, "placeOrder", f"({ORDER})", 60_000, Scope.TRADE),
    Function(EXCHANGE, "cancelOrder", "(uint32,uint64)", 15_000, Scope.CANCEL, inbox=True),
    Function(EXCHANGE, "cancelAll", "(uint32,uint32)", 25_000, Scope.CANCEL, inbox=True),
    Function(EXCHANGE, "replaceOrder", f"(uint32,uint64,{ORDER})", 70_000, Scope.TRADE),
    Function(EXCHANGE, "fillQuote", f"({QUOTE},bytes)", 120_000, Scope.TRADE),
    Function(EXCHANGE, "tradeAmm", "(uint32,uint32,bool,uint64,uint64)", 80_000, Scope.TRADE),
    Function(ORACLE, "update", f"({UPDATE},bytes[])", 60_000),
    Function(ORACLE, "proveEquivocation", f"({UPDATE},bytes,{UPDATE},bytes)", 80_000),
    Function(RISK, "updateRows", "(bytes32,uint32[])", 0, system=True),
    Function(RISK, "expireOrders", "(uint32)", 0, system=True),
    Function(RISK, "settle", "(uint32,uint32[])", 0, system=True),
    Function(RISK, "sweepFees", "()", 0, system=True),
    Function(LIQUIDATION, "liquidate", "(uint32)", 0, system=True),
    Function(MESSAGE_PASSER, "initiateWithdrawal", "(address,uint256,bytes)", 60_000, inbox=True, payable=True),
    Function(GUARD, "open", "(bytes32)", 0, system=True),
    Function(GUARD, "close", "()", 0, system=True),
)  # fmt: skip

FUNCTIONS: Final[Mapping[bytes, Mapping[bytes, Function]]] = {
    target: {call.selector: call for call in _CALLS if call.target == target}
    for target in dict.fromkeys(call.target for call in _CALLS)
}
"""By target and selector."""
BY_NAME: Final[Mapping[str, Function]] = {call.name: call for call in _CALLS}


@dataclass(frozen=True, slots=True)
class Event:
    """A log's shape."""

    source: bytes
    """System address that emits it."""
    name: str
    indexed: abi.Struct
    plain: abi.Struct
    signature: str
    topic: bytes


def _event(source: bytes, text: str) -> Event:
    """Of ``Name(uint32 indexed,bytes)``; indexed members come first in all of ours but Solidity does not require it."""
    name, arguments = text.split("(", 1)
    members = abi.split("(" + arguments)
    types = [member.removesuffix(" indexed") for member in members]
    indexed = tuple(
        abi.parse(kind) for kind, member in zip(types, members, strict=True) if member.endswith(" indexed")
    )
    plain = tuple(abi.parse(kind) for kind, member in zip(types, members, strict=True) if kind == member)
    signature = f"{name}({','.join(types)})"
    return Event(
        source, name, abi.Struct(indexed), abi.Struct(plain), signature, keccak256(signature.encode())
    )


_EVENTS: Final[Mapping[bytes, tuple[str, ...]]] = {
    ACCOUNTS: (
        "AccountOpened(uint32 indexed,address indexed)",
        "Deposited(uint32 indexed,uint256)",
        "Withdrawn(uint32 indexed,address indexed,uint256)",
        "Transferred(uint32 indexed,uint32 indexed,uint256)",
        "KeyRegistered(uint32 indexed,address indexed,uint8,uint64)",
        "KeyRevoked(uint32 indexed,address indexed)",
        "ModeChanged(uint32 indexed,bool)",
        "ActionExecuted(uint32 indexed,address indexed,uint64)",
        "ActionRefused(uint32 indexed,uint256 indexed,bytes)",
    ),
    EXCHANGE: (
        "SeriesListed(uint32 indexed,bytes32 indexed,uint64,uint64,bool)",
        "OrderRested(uint64 indexed,uint32 indexed,uint32 indexed,bool,uint64,uint64)",
        "Trade(uint32 indexed,uint32 indexed,uint32 indexed,uint64,uint64,uint64,int64,uint64,uint64)",
        "OrderCancelled(uint64 indexed,uint32 indexed,uint32 indexed,uint64,uint8)",
    ),
    ORACLE: (
        "OracleUpdated(bytes32 indexed,uint64 indexed,uint64,uint64)",
        "SignerRemoved(address indexed,bytes32 indexed,uint64)",
    ),
    RISK: (
        "RiskUpdated(bytes32 indexed,uint64 indexed,uint32[])",
        "SeriesSettled(uint32 indexed,uint64)",
        "PositionSettled(uint32 indexed,uint32 indexed,int64,int128)",
        "BreakerMoved(bytes32 indexed,uint8)",
        "FeesSwept(uint128,uint128)",
    ),
    LIQUIDATION: (
        "LiquidationFlagged(uint32 indexed,int128,int128)",
        "Liquidated(uint32 indexed,uint32 indexed,int64,int128,uint128)",
        "LiquidationEnded(uint32 indexed)",
        "InsurancePaid(uint32 indexed,uint128)",
        "LossShared(uint32 indexed,uint128)",
    ),
    MESSAGE_PASSER: (
        "MessagePassed(uint256 indexed,address indexed,address indexed,uint256,uint256,bytes,bytes32)",
    ),
}  # fmt: skip
EVENTS: Final[Mapping[str, Event]] = {
    event.name: event
    for source, texts in _EVENTS.items()
    for event in (_event(source, text) for text in texts)
}

_ERRORS: Final = """
UnknownTarget(address) UnknownFunction(address,bytes4) MalformedCall(bytes4) ValueRefused(uint256) OutOfRange() OutOfGas(uint256,uint256) WrongSection(bytes4)
BundleNotOpen(bytes32,bytes32) UnknownAccount(uint32) NotAuthorized(uint32,address) AccountFrozen(uint32) LimitReached(uint256)
InsufficientCash(uint32,int256,int256) InsufficientMargin(uint32,int256) BadSignature() ActionExpired(uint64,uint64)
NonceUsed(uint32,address,uint64,uint64) UnknownSeries(uint32) SeriesExpired(uint32) SeriesExists(uint32) UnknownUnderlying(bytes32)
SeriesRefused(uint64,uint64) SeriesUnquoted(uint32) TickViolation(uint64,uint64) LotViolation(uint64,uint64) OrderExpired(uint64,uint64) UnknownOrder(uint64)
TooMany(uint32,uint256) WouldCross(uint64,uint64) NotFillable(uint64,uint64) NotReducing(uint32,uint32) SelfTrade(uint32)
NotQuoted(uint32) LimitExceeded(uint256,uint256) StaleOracle(bytes32,uint64) UpdateOutOfOrder(uint64,uint64) TooFewSigners(uint256,uint256)
NoEquivocation() BreakerOpen(bytes32,uint8)
"""
ERRORS: Final[Mapping[str, str]] = {text.split("(")[0]: text for text in re.findall(r"\w+\([^)]*\)", _ERRORS)}
"""Signature by name."""
