"""What a user says about a transfer between L1 and a rollup, and what can be said about it beforehand. Pure."""

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Final

from orchestrator.errors import RollnetError
from orchestrator.topology.hd_keys import checksum_address
from orchestrator.topology.plan import Account, Plan

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


def withdrawal_terms(plan: Plan, rollup: str) -> WithdrawalTerms:
    """Terms of a rollup's withdrawals."""
    (found,) = (each for each in plan.rollups if each.name == rollup)
    settled = found.settlement
    # as topology.timing.idle_gap: every L1 block opens an epoch, so an idle rollup has a block for each
    gap = max(min(found.block_time_s, plan.l1.block_time_s), plan.messaging.slot_s)
    return WithdrawalTerms(
        publish_s=plan.messaging.publish_every_s + plan.l1.block_time_s,
        proposal_s=settled.proposal_interval * gap + plan.l1.block_time_s,
        # the challenge period is counted from the proof, and the L1 block after its end finalizes
        challenge_s=settled.challenge_period_s + 2 * plan.l1.block_time_s,
    )


def deposit_limit_s(plan: Plan) -> float:
    """Longest wait for a deposit, seconds: after the sequencing window it is executed by force."""
    blocks = plan.messaging.sequencing_window + plan.l1.confirmations + 1
    return blocks * plan.l1.block_time_s + DEPOSIT_SLACK_S


def parse_ether(text: str) -> int:
    """Wei of an amount in ETH.

    Raises:
        InvalidTransfer: not a positive number of at most 18 decimals.
    """
    try:
        amount = Decimal(text) if re.fullmatch(r"[-+.0-9eE]{1,100}", text) else None
    except InvalidOperation:
        amount = None
    if amount is None or not -80 < amount.adjusted() < 80:
        raise InvalidTransfer(f"{text!r} is not an amount of ETH", "give a number, such as 1.5")
    if amount <= 0:
        raise InvalidTransfer(f"the amount must be more than zero, got {text}", "give a number, such as 1.5")
    _, digits, exponent = amount.as_tuple()
    scale = int(exponent) + 18
    whole = int("".join(map(str, digits)))
    unit: int = 10 ** abs(scale)
    wei, rest = (whole * unit, 0) if scale >= 0 else divmod(whole, unit)
    if wei >> 256:
        raise InvalidTransfer(f"{text} ETH is more than 256 bits of wei hold", "give less")
    if rest:
        raise InvalidTransfer(f"{text} ETH is not a whole number of wei", "give at most 18 decimals")
    return wei


def ether(wei: int) -> str:
    """Wei in ETH, exactly."""
    whole, rest = divmod(wei, WEI)
    return f"{whole}.{rest:018d}".rstrip("0").rstrip(".")


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


def parse_digest(text: str) -> str:
    """A withdrawal's hash in lower case.

    Raises:
        InvalidTransfer: not 32 bytes of hexadecimal.
    """
    if not re.fullmatch(r"0x[0-9a-fA-F]{64}", text):
        raise InvalidTransfer(f"{text!r} is not a withdrawal's hash", "give 0x and 64 hexadecimal digits")
    return text.lower()


def account_of(plan: Plan, index: int) -> Account:
    """A funded user.

    Raises:
        InvalidTransfer: there is none of this index.
    """
    if not 0 <= index < len(plan.users):
        raise InvalidTransfer(f"there is no account {index}", f"accounts go from 0 to {len(plan.users) - 1}")
    return plan.users[index]
