"""What a user says about a transfer between L1 and a rollup, and what can be said about it beforehand. Pure."""

import re
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Final

from orchestrator.errors import RollnetError
from orchestrator.settlement.funding import WEI_PER_CASH
from orchestrator.topology.hd_keys import checksum_address
from orchestrator.topology.plan import Account, Plan, RollupPlan

WEI: Final = 10**18
"""Of one ETH."""
DEPOSIT_SLACK_S: Final = 30.0
"""Beyond the sequencing window, seconds: execution takes time as well."""
WITHDRAWAL_SLACK_S: Final = 60.0
"""A withdrawal is waited for twice as long as it should take, and so many seconds."""
PATIENT_S: Final = 60
"""A longer challenge period is not waited for unless it is asked for, seconds."""


class InvalidTransfer(RollnetError):  # noqa: N818 - states what is wrong
    """The command line is wrong."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class WithdrawalTerms:
    """How long a withdrawal takes, by the plan; seconds."""

    publish_s: float
    """Longest time until its block is on L1."""
    proposal_s: float
    """Longest time until an output is due that covers it."""
    challenge_s: float
    """It cannot be finalized before."""

    @property
    def expected_s(self) -> float:
        """Until L1 pays, if nothing is in the way."""
        return self.publish_s + self.proposal_s + self.challenge_s

    @property
    def limit_s(self) -> float:
        """How long it is waited for."""
        return 2 * self.expected_s + WITHDRAWAL_SLACK_S

    @property
    def waits(self) -> bool:
        """Whether one sits and waits for it without being asked to."""
        return self.challenge_s <= PATIENT_S


@dataclass(frozen=True, slots=True)
class MessageTerms:
    """How long a message from one rollup to another takes, by the plan; seconds."""

    withdrawal: WithdrawalTerms
    """From the source to L1."""
    delivery_s: float
    """Longest time from there to the destination."""

    @property
    def expected_s(self) -> float:
        """Until the destination executes it, if nothing is in the way: the sum of the topology's own waits."""
        return self.withdrawal.expected_s + self.delivery_s

    @property
    def limit_s(self) -> float:
        """How long it is waited for."""
        return self.withdrawal.limit_s + 2 * self.delivery_s

    @property
    def waits(self) -> bool:
        """Whether one sits and waits for it without being asked to."""
        return self.withdrawal.waits


def withdrawal_terms(plan: Plan, rollup: str) -> WithdrawalTerms:
    """Terms of a rollup's withdrawals."""
    found = _rollup(plan, rollup)
    settled = found.settlement
    return WithdrawalTerms(
        publish_s=plan.messaging.publish_every_s + plan.l1.block_time_s,
        proposal_s=settled.proposal_interval * _idle_gap(plan, found) + plan.l1.block_time_s,
        # the challenge period is counted from the proof, and the L1 block after its end finalizes
        challenge_s=settled.challenge_period_s + 2 * plan.l1.block_time_s,
    )


def delivery_s(plan: Plan, rollup: str) -> float:
    """Longest time from a deposit's L1 block until its rollup has executed it, seconds, while the sequencer is healthy."""
    return plan.l1.confirmations * plan.l1.block_time_s + _idle_gap(plan, _rollup(plan, rollup))


def message_terms(plan: Plan, source: str, destination: str) -> MessageTerms:
    """Terms of messages from one rollup to another; of their way back with source and destination exchanged."""
    return MessageTerms(withdrawal_terms(plan, source), delivery_s(plan, destination))


def deposit_limit_s(plan: Plan) -> float:
    """Longest wait for a deposit, seconds: after the sequencing window it is executed by force."""
    blocks = plan.messaging.sequencing_window + plan.l1.confirmations + 1
    return blocks * plan.l1.block_time_s + DEPOSIT_SLACK_S


@dataclass(frozen=True, slots=True)
class Currency:
    """What an amount is of."""

    symbol: str
    decimals: int
    unit: str = "its smallest unit"
    """Name of the least amount."""
    least: int = 1
    """The least amount: all are multiples of it."""

    def parse(self, text: str, *, zero: bool = False) -> int:
        """An amount in smallest units.

        Args:
            text: a decimal number.
            zero: whether nothing at all may be meant.

        Raises:
            InvalidTransfer: not a positive number of as many decimals, or no multiple of the least amount.
        """
        hint = "give a number, such as 1.5" if self.decimals else "give a whole number"
        try:
            amount = Decimal(text) if re.fullmatch(r"[-+.0-9eE]{1,100}", text) else None
        except InvalidOperation:
            amount = None
        if amount is None or not -400 < amount.adjusted() < 400:
            raise InvalidTransfer(f"{text!r} is not an amount of {self.symbol}", hint)
        if amount < 0 or (amount == 0 and not zero):
            least = "zero or more" if zero else "more than zero"
            raise InvalidTransfer(f"the amount must be {least}, got {text}", hint)
        _, digits, exponent = amount.as_tuple()
        scale = int(exponent) + self.decimals
        whole = int("".join(map(str, digits)))
        power: int = 10 ** abs(scale)
        units, rest = (whole * power, 0) if scale >= 0 else divmod(whole, power)
        if units >> 256:
            raise InvalidTransfer(
                f"{text} {self.symbol} is more than 256 bits of {self.unit} hold", "give less"
            )
        if rest or units % self.least:
            raise InvalidTransfer(
                f"{text} {self.symbol} is not a whole number of {self.unit}",
                f"give at most {self.decimals + 1 - len(str(self.least))} decimals",
            )
        return units

    def shown(self, units: int) -> str:
        """Smallest units as a decimal number, exactly."""
        whole, rest = divmod(units, 10**self.decimals)
        return f"{whole}.{rest:0{self.decimals}d}".rstrip("0").rstrip(".") if rest else str(whole)


ETHER: Final = Currency("ETH", 18, "wei")
DOLLAR: Final = Currency("USD", 18, "millionths of a dollar", WEI_PER_CASH)
"""Coin of options rollups: cash, in the decimals that wallets expect. What is 1 ETH on L1 is 1 USD there, wei for wei."""


def coin_of(plan: Plan, chain: str) -> Currency:
    """The coin of L1 or a rollup: what its wei are counted in."""
    dollars = any(rollup.name == chain and rollup.options is not None for rollup in plan.rollups)
    return DOLLAR if dollars else ETHER


def coin_between(plan: Plan, source: str, destination: str) -> Currency:
    """What may travel from one chain to another: the first one's coin, in amounts that the other can book, so that nothing is lost as dust."""
    coin, there = coin_of(plan, source), coin_of(plan, destination)
    return coin if coin.least >= there.least else replace(coin, unit=there.unit, least=there.least)


def booked(plan: Plan, source: str, destination: str, wei: int) -> str:
    """What wei of one chain are in the other's coin, such as ``25 USD``; nothing if the coins are the same."""
    coin, there = coin_of(plan, source), coin_of(plan, destination)
    return "" if coin == there else f"{there.shown(wei)} {there.symbol}"


def ether(wei: int) -> str:
    """Wei in ETH, exactly."""
    return ETHER.shown(wei)


def roughly(seconds: float) -> str:
    """A time as precise as anybody cares for: ``7.4 s``, ``25 min``, ``7 d``."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s"


def parse_address(text: str) -> str:
    """An address in EIP-55 spelling.

    Raises:
        InvalidTransfer: not an address, or one with a spelling mistake.
    """
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        raise InvalidTransfer(f"{text!r} is not an address", "give 0x and 40 hexadecimal digits")
    right = checksum_address(bytes.fromhex(text[2:]))
    if text[2:] not in (text[2:].lower(), text[2:].upper()) and text != right:
        raise InvalidTransfer(f"{text} has a wrong checksum: a digit may be mistyped", "check the address")
    return right


def parse_digest(text: str, of: str = "a withdrawal") -> str:
    """The hash of something in lower case.

    Raises:
        InvalidTransfer: not 32 bytes of hexadecimal.
    """
    if not re.fullmatch(r"0x[0-9a-fA-F]{64}", text):
        raise InvalidTransfer(f"{text!r} is not {of}'s hash", "give 0x and 64 hexadecimal digits")
    return text.lower()


def account_of(plan: Plan, index: int) -> Account:
    """A funded user.

    Raises:
        InvalidTransfer: there is none of this index.
    """
    if not 0 <= index < len(plan.users):
        raise InvalidTransfer(f"there is no account {index}", f"accounts go from 0 to {len(plan.users) - 1}")
    return plan.users[index]


def _rollup(plan: Plan, name: str) -> RollupPlan:
    (found,) = (each for each in plan.rollups if each.name == name)
    return found


def _idle_gap(plan: Plan, rollup: RollupPlan) -> float:
    """As ``topology.timing.idle_gap``: every L1 block opens an epoch, so an idle rollup has a block for each."""
    return max(min(rollup.block_time_s, plan.l1.block_time_s), plan.messaging.slot_s)
