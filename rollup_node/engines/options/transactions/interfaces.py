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
COMBOS: Final = _address(0x0C07)
MESSAGE_PASSER: Final = _address(0x0016)
"""The OP Stack's; takes withdrawals as on every other rollup."""
MESSENGER: Final = _address(0x0007)
"""The OP Stack's; calls to L1, and from it."""
MAILBOX: Final = _address(0x0B04)
"""CrossRollupMailbox: messages to and from other rollups."""
ESCROW: Final = _address(0x0B05)
"""IOptionsEscrow, which speaks as LegEscrow does: legs of strategies that are decided on L1."""
GUARD: Final = _address(0x0B00)
"""BundleGuard, called by system transactions around the legs of a bundle."""
L1_BLOCK: Final = _address(0x0015)
"""The OP Stack's; the first deposit of a block tells it of the block's L1 origin."""

ORDER: Final = "(uint32,uint32,bool,uint64,uint64,uint8,uint8,bool,uint64,uint64)"
LEG: Final = "(uint32,uint64,int64)"
QUOTE: Final = f"(uint32,uint32,uint64,uint64,{LEG}[])"
COMBO_LEG: Final = "(uint64,uint32,bytes32,uint64,uint64,bool,int64)"
ENVELOPE: Final = "(uint8,uint64,uint64,uint256,bytes32,bytes32,uint256,uint64,uint64,bytes)"
HEADER: Final = "(uint8,uint64,uint64,uint256,bytes32,bytes32,uint256,uint64,uint64,bytes32)"
STRATEGY_LEG: Final = "(bytes32,address,int256,uint256)"
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
    Function(RISK, "moveBreaker", "(bytes32)", 0, system=True),
    Function(LIQUIDATION, "bid", "(uint32,uint32,uint32,int128)", 150_000, Scope.TRADE),
    Function(LIQUIDATION, "liquidate", "(uint32)", 0, system=True),
    Function(LIQUIDATION, "advanceAuction", "(uint32)", 0, system=True),
    Function(LIQUIDATION, "backstop", "(uint32)", 0, system=True),
    Function(LIQUIDATION, "deleverage", "(uint32,uint32,uint32[])", 0, system=True),
    Function(MESSAGE_PASSER, "initiateWithdrawal", "(address,uint256,bytes)", 60_000, inbox=True, payable=True),
    Function(COMBOS, "lockCombo", f"({COMBO_LEG}[],uint64,bytes[])", 120_000),
    Function(COMBOS, "unlockCombo", f"({COMBO_LEG}[],uint64,bytes32)", 60_000),
    Function(COMBOS, "payPledge", "(uint32,bytes32,bytes32)", 30_000, inbox=True, payable=True),
    Function(COMBOS, "lapsePledge", "(uint32)", 0, system=True),
    Function(MESSENGER, "sendMessage", "(address,bytes,uint32)", 80_000, inbox=True, payable=True),
    Function(MESSENGER, "relayMessage", "(uint256,address,address,uint256,uint256,bytes)", 100_000, inbox=True, payable=True),
    Function(MAILBOX, "send", "(uint64,bytes32,uint64,uint64,bytes)", 120_000, inbox=True, payable=True),
    Function(MAILBOX, "deliver", f"({ENVELOPE})", 0, payable=True),
    Function(MAILBOX, "replay", f"({ENVELOPE})", 100_000, inbox=True),
    Function(MAILBOX, "exportUndelivered", f"({ENVELOPE})", 120_000, inbox=True),
    Function(MAILBOX, "onUndelivered", "(bytes32,uint64)", 0, payable=True),
    Function(MAILBOX, "claim", "(address)", 0),
    Function(ESCROW, "lockLegs", f"(bytes32,address,uint64,uint64,uint32,{STRATEGY_LEG}[])", 0),
    Function(ESCROW, "reserveLegs", f"(bytes32,address,uint64,{STRATEGY_LEG}[])", 0),
    Function(ESCROW, "decideLegs", "(bytes32,bool)", 0),
    Function(ESCROW, "refundLegs", "(bytes32)", 100_000, inbox=True),
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
    whole: abi.Struct = field(init=False)
    """All members as one: what is nothing but words is written at once."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "whole", abi.Struct(self.indexed.members + self.plain.members))


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
        "AuctionStarted(uint32 indexed,int128,int128)",
        "AuctionMoved(uint32 indexed,uint8)",
        "AuctionBid(uint32 indexed,uint32 indexed,uint32,int128,uint128,uint32[],int64[],int128)",
        "AuctionEnded(uint32 indexed,int128)",
        "BackstopTook(uint32 indexed,uint32 indexed,uint32,int128,uint32[],int64[],int128)",
        "Deleveraged(uint32 indexed,uint32 indexed,uint32 indexed,int64,uint64)",
    ),
    COMBOS: (
        "ComboLocked(uint32 indexed,uint32 indexed,bytes32 indexed,bytes32,uint128)",
        "ComboUnlocked(uint32 indexed,uint32 indexed,bytes32 indexed)",
        "ComboBroken(uint32 indexed,uint32 indexed,bytes32 indexed)",
        "PledgeSent(uint32 indexed,bytes32 indexed,uint64,uint32,uint128)",
        "PledgeOwed(uint32 indexed,bytes32 indexed,uint128)",
        "PledgePaid(uint32 indexed,bytes32 indexed,uint128)",
        "PledgeLapsed(uint32 indexed,bytes32 indexed,uint128)",
    ),
    MESSAGE_PASSER: (
        "MessagePassed(uint256 indexed,address indexed,address indexed,uint256,uint256,bytes,bytes32)",
    ),
    MESSENGER: (
        "SentMessage(address indexed,address,bytes,uint256,uint256)",
        "SentMessageExtension1(address indexed,uint256)",
        "RelayedMessage(bytes32 indexed)",
        "FailedRelayedMessage(bytes32 indexed)",
    ),
    MAILBOX: (
        f"MessageSent(bytes32 indexed,uint64 indexed,bytes32 indexed,{ENVELOPE})",
        "MessageExecuted(bytes32 indexed)",
        "MessageFailed(bytes32 indexed,bytes)",
        "MessageLate(bytes32 indexed,uint256)",
        "MessageExported(bytes32 indexed,uint256,uint64)",
        "MessageExpired(bytes32 indexed)",
        "MessageRefunded(bytes32 indexed,address indexed,uint256,bool)",
        "RefundClaimed(address indexed,address indexed,uint256)",
    ),
    ESCROW: (
        "LegLocked(bytes32 indexed,uint256 indexed,address indexed)",
        "LegRefused(bytes32 indexed,address indexed,bytes)",
        "LegCommitted(bytes32 indexed)",
        "LegReleased(bytes32 indexed)",
        "LegRefunded(bytes32 indexed)",
        "CommitMissed(bytes32 indexed,uint8)",
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
NoEquivocation() BreakerOpen(bytes32,uint8) WithdrawalCapped(uint256,uint256)
OnlyInBundle() NotACombo() UnknownRollup(uint64) SnapshotMissed(uint64,uint64) LegMissing(uint32,int64,int64) LegLocked(uint32,uint32) UnknownCombo(bytes32)
NoAuction(uint32) ShareRefused(uint256,uint256) CostExceeded(int256,int256)
"""
ERRORS: Final[Mapping[str, str]] = {text.split("(")[0]: text for text in re.findall(r"\w+\([^)]*\)", _ERRORS)}
"""Signature by name."""
_BRIDGE_ERRORS: Final = """
NotMessenger(address) NotRouter(address) SameChain(uint64) WrongChain(uint64) UnsafeTarget(bytes32) NoCode(bytes32) GasLimitTooHigh(uint64)
DataTooLong(uint256) BadValidity(uint64,uint256) UnknownVersion(uint8) WrongValue(uint256,uint256) AlreadyReceived(bytes32,uint8)
NotReplayable(bytes32,uint8) NotExportable(bytes32,uint8) StillValid(uint64,uint256) Expired(uint64,uint256) ReplayFailed(bytes32,bytes)
NotOutstanding(bytes32,uint8) WordTooEarly(uint64,uint64) NoMessage() NothingToClaim(address)
NotRegistry(address) NotSelf(address) TooLate(uint64,uint256) ExpiresWhileLocked(uint64,uint64) NotLocked(bytes32,uint8) StillWaiting(uint64,uint256)
"""
BRIDGE_ERRORS: Final[Mapping[str, str]] = {
    text.split("(")[0]: text for text in re.findall(r"\w+\([^)]*\)", _BRIDGE_ERRORS)
}
"""The same of errors that CrossRollupMailbox and LegEscrow have on EVM rollups, so that whoever speaks to those understands us."""


def is_reserved(address: bytes) -> bool:
    """Whether it is in the range of the predeploys, where nobody has an account."""
    return address[:2] == ACCOUNTS[:2] and not any(address[2:18])
