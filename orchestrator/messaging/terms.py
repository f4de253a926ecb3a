"""What a user says about a message from one rollup to another, what can be said about it beforehand, and how far it came. Pure.

The bounds are those of ``CrossRollupMailbox.sol``, said here in words, so that nothing is sent that the mailbox would refuse.
"""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, assert_never

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER
from bridge.relayer import lifecycle
from bridge.relayer.messages.envelope import MAILBOX
from bridge.relayer.messages.lifecycle import (
    Done,
    Export,
    RedeliverOnL2,
    Replay,
    ReplayOnL1,
    State,
    Step,
    Wait,
)
from bridge.relayer.messages.sightings import Sign
from bridge.wire.keccak import to_hex
from orchestrator.bridging.terms import ETHER, Currency, InvalidTransfer, MessageTerms, roughly
from orchestrator.topology.durations import format_duration, parse_duration, suggest_duration

MAX_GAS: Final = 3_000_000
"""``MAX_MESSAGE_GAS``."""
MAX_DATA: Final = 16_384
"""``MAX_MESSAGE_DATA``, bytes."""
MAX_VALIDITY_S: Final = 30 * 86_400
"""``MAX_VALIDITY``, seconds."""
DEFAULT_GAS: Final = 200_000
"""Of the call at the destination: the target may be a contract."""
SHORTEST_VALIDITY_S: Final = 600
"""A message is valid at least so long unless it is said otherwise, seconds."""
_WORDS: Final = {
    "Error": "its target reverted: {reason}",
    "Panic": "its target panicked with code {code:#x}",
    "Expired": "it came after its last valid second, {validUntil}, at {time}",
    "NoCode": "its target has no code there",
    "NotEnoughGas": "less than {gasLimit:,} gas was left for its target",
}
"""Of errors with which calls fail at the destination."""
_PREDEPLOYS: Final = int(L2_CROSS_DOMAIN_MESSENGER, 16) >> 11


class Waiting(StrEnum):
    """What is waited for."""

    NOTHING = "nothing"
    """Only how far it is now."""
    ANSWER = "answer"
    """That it is executed or refunded, or that its call failed: then it is tried again, which may take all its time."""
    END = "end"
    """That it is executed or refunded."""


class Outcome(StrEnum):
    """What became of a message, in the word that decides a command's exit status."""

    EXECUTED = "executed"
    FAILED = "failed"
    """So far: its call failed, and is tried again until it expires."""
    REFUNDED = "refunded"
    UNFINISHED = "unfinished"


EXIT_CODES: Final = {Outcome.EXECUTED: 0, Outcome.FAILED: 1, Outcome.REFUNDED: 1, Outcome.UNFINISHED: 2}


@dataclass(frozen=True, slots=True)
class Wish:
    """A message to be sent."""

    target: str
    """Whom to call, EIP-55 address."""
    value: int
    """Wei."""
    data: bytes
    gas_limit: int
    valid_for_s: int
    """From when it is sent."""


def wish(source: str, destination: str, target: str, value: int, data: bytes, gas: int, valid_s: int) -> Wish:
    """A message that the mailbox of `source` would take.

    Raises:
        InvalidTransfer: it would not.
    """
    if source == destination:
        raise InvalidTransfer(
            f"a message goes from one rollup to another, and both are {source}", "name two rollups"
        )
    account = int(target, 16)
    why = None
    if account == 0:
        why = "nobody's address"
    elif target.lower() == CROSS_ROLLUP_MAILBOX:
        why = "the mailbox itself"
    elif account >> 11 == _PREDEPLOYS:
        why = "one of the OP Stack's predeploys, which would take the mailbox's word for its users'"
    if why:
        raise InvalidTransfer(
            f"messages never call {target}: it is {why}", "--to another contract, or an account"
        )
    if not 0 <= gas <= MAX_GAS:
        raise InvalidTransfer(f"a message may ask for 0 to {MAX_GAS:,} gas, not {gas:,}", "mend --gas")
    if len(data) > MAX_DATA:
        raise InvalidTransfer(
            f"a message carries at most {MAX_DATA:,} bytes of data, not {len(data):,}", "mend --data"
        )
    if not 1 <= valid_s <= MAX_VALIDITY_S:
        longest = format_duration(MAX_VALIDITY_S)
        raise InvalidTransfer(
            f"a message is valid for 1s to {longest}, not {format_duration(valid_s)}", "mend --valid-for"
        )
    return Wish(target, value, data, gas, valid_s)


def parse_data(text: str | None) -> bytes:
    """Call data.

    Raises:
        InvalidTransfer: no hexadecimal digits, or half a byte.
    """
    if text is None:
        return b""
    if not re.fullmatch(r"0x[0-9a-fA-F]*", text):
        raise InvalidTransfer(
            f"{text[:40]!r} is no call data", "give 0x and hexadecimal digits; `cast calldata` makes them"
        )
    if len(text) % 2:
        raise InvalidTransfer(
            f"the data has half a byte: {len(text) - 2} hexadecimal digits", "give two digits for each byte"
        )
    return bytes.fromhex(text[2:])


def parse_beginning(text: str) -> str:
    """The hash of a message or the beginning of one, in lower case; as tables show it, too.

    Raises:
        InvalidTransfer: neither.
    """
    found = re.fullmatch(r"(?:0x)?([0-9a-fA-F]{4,64})…?", text)
    if not found:
        raise InvalidTransfer(
            f"{text[:80]!r} is not a message's hash",
            "give 0x and 64 hexadecimal digits, or the first of them",
        )
    return f"0x{found[1].lower()}"


def parse_validity(text: str) -> int:
    """Whole seconds of a duration, rounded up.

    Raises:
        InvalidTransfer: no duration.
    """
    try:
        return math.ceil(parse_duration(text))
    except ValueError as exc:
        meant = suggest_duration(text)
        hint = f"{meant!r} is one" if meant else "give a number and its unit, such as 30s, 10m, 2h or 7d"
        raise InvalidTransfer(f"{text[:40]!r} is no duration", hint) from exc


def default_validity_s(terms: MessageTerms) -> int:
    """How long a message is valid if it isn't said, seconds: twice as long as it should take, and never less than ten minutes."""
    return min(max(SHORTEST_VALIDITY_S, math.ceil(terms.limit_s)), MAX_VALIDITY_S)


def doubt(terms: MessageTerms, valid_for_s: int) -> str:
    """Why a message will probably expire on its way; nothing if it won't."""
    if terms.expected_s <= valid_for_s:
        return ""
    took = f"it takes up to {roughly(terms.expected_s)} and is valid for {format_duration(valid_for_s)}"
    return f"{took}: it may expire on its way, and is refunded then"


def patience_s(
    waiting: Waiting, terms: MessageTerms, back: MessageTerms, left_s: float, state: State
) -> float:
    """How long a message is waited for from now on, seconds.

    Args:
        waiting: what for.
        terms: of the way there.
        back: of the way back.
        left_s: time until it expires.
        state: of the message.
    """
    returns = state in (State.EXPIRED, State.RETURNING)
    match waiting:
        case Waiting.NOTHING:
            return 0.0
        case Waiting.ANSWER if returns and not back.waits:
            return 0.0
        case Waiting.ANSWER:
            return back.limit_s if returns else terms.limit_s
        case Waiting.END:
            return back.limit_s if returns else max(terms.limit_s, left_s) + back.limit_s
        case _:
            assert_never(waiting)


def outcome_of(state: State) -> Outcome:
    """The word for a state."""
    found = {
        State.EXECUTED: Outcome.EXECUTED,
        State.FAILED: Outcome.FAILED,
        State.REFUNDED: Outcome.REFUNDED,
    }
    return found.get(state, Outcome.UNFINISHED)


def is_end(state: State, waiting: Waiting) -> bool:
    """Whether what was waited for has come."""
    return state in (State.EXECUTED, State.REFUNDED) or (state is State.FAILED and waiting is Waiting.ANSWER)


def stages(carrier: lifecycle.State, state: State, signs: Collection[Sign]) -> tuple[str, ...]:
    """The stages that a message has reached, in order: those of the withdrawal that carries it, then its own.

    Args:
        carrier: state of that withdrawal.
        state: of the message.
        signs: what logs say of it.
    """
    arrived = Sign.ROUTED in signs or state in (State.FORWARDED, State.FAILED, State.EXECUTED)
    way = lifecycle.reached(None, lifecycle.State.FINALIZED if arrived else carrier)
    own = {
        "deposited": arrived,
        "failed": Sign.FAILED in signs or state is State.FAILED,
        "returning": state is State.RETURNING or bool({Sign.EXPORTED, Sign.RETURNED} & {*signs}),
        "executed": state is State.EXECUTED,
        "refunded": state is State.REFUNDED,
    }
    return (*(str(each) for each in way), *(name for name, there in own.items() if there))


def doing(step: Step, left_s: int) -> str:
    """What is waited for, in words; of a message that may be executed for so many seconds."""
    match step:
        case Wait(reason):
            return reason
        case ReplayOnL1(call):
            return f"the messenger on L1 holds its {call.hop}: the relayer replays it"
        case RedeliverOnL2(call):
            return f"the rollup's messenger holds its {call.hop}: the relayer replays it"
        case Replay():
            return f"the relayer tries it again, for {left_s} s at most; then it is refunded"
        case Export():
            return "it expired; the relayer sends it back"
        case Done():
            return ""
        case _:
            assert_never(step)


def why_failed(reason: bytes) -> str:
    """The reason of a ``MessageFailed`` in words."""
    if not reason:
        return "its target reverted without a reason"
    found = MAILBOX.decode_error(reason)
    if found is None:
        return f"its target reverted with {to_hex(reason)}"
    words = _WORDS.get(found.name)
    return words.format(**found.arguments) if words else str(found)


def described(value: int, data_bytes: int, coin: Currency = ETHER) -> str:
    """What a message carries, such as ``1.5 ETH and 36 bytes``, in the coin of where it was sent."""
    parts = [f"{coin.shown(value)} {coin.symbol}"] if value or not data_bytes else []
    parts += [f"{data_bytes} bytes"] if data_bytes else []
    return " and ".join(parts)


def age(seconds: int) -> str:
    """How long ago, roughly."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit}"
    return f"{max(seconds, 0)} s"
