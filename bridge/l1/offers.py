"""What a transaction offers for its gas (EIP-1559), and when that is no longer enough. Pure."""

from dataclasses import dataclass

PRIORITY_FEE = 10**9
"""Wei per gas, of a first offer."""
HEADROOM = 3
"""A first offer covers this many times the base fee, which can grow by an eighth per block."""


@dataclass(frozen=True, slots=True)
class Offer:
    """Most that is paid per gas."""

    max_fee: int
    """Wei, base fee included."""
    priority_fee: int
    """Wei on top of the base fee."""

    def covers(self, base_fee: int) -> bool:
        """Whether a block with this base fee, or the one after it, can take the transaction."""
        return self.max_fee >= base_fee * 9 // 8


def first_offer(base_fee: int) -> Offer:
    """For a new transaction."""
    return Offer(HEADROOM * base_fee + PRIORITY_FEE, PRIORITY_FEE)


def raised(offer: Offer, base_fee: int) -> Offer:
    """For a replacement: pools want both fees an eighth higher (they ask for a tenth), and the base fee must be covered."""
    fresh = first_offer(base_fee)
    return Offer(max(_more(offer.max_fee), fresh.max_fee), max(_more(offer.priority_fee), fresh.priority_fee))


def _more(fee: int) -> int:
    return fee + fee // 8 + 1
