"""Why a transaction is refused: standard error selectors, as a contract would revert with.

::

    Refused ──► receipt with status 0; the undo log takes back all it did       (its nonce and fee are spent)
    Invalid ──► not in the block at all                                         (nothing is spent)
"""

from functools import lru_cache
from typing import Any

from bridge.wire.keccak import keccak256
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.interfaces import BRIDGE_ERRORS, ERRORS


class Refused(Exception):  # noqa: N818 - names what happened
    """A transaction in a block that has no effect.

    Args:
        name: of the error in ``IOptionsErrors``.
        arguments: of the error, in order.
    """

    def __init__(self, name: str, *arguments: Any) -> None:
        super().__init__(name, *arguments)
        self.name, self.arguments = name, arguments

    @property
    def data(self) -> bytes:
        """Revert data: selector and arguments."""
        selector, kind = _shape(self.name)
        return selector + abi.encode(kind, self.arguments)

    @property
    def reason(self) -> str:
        """For people: ``InsufficientMargin(7, 1200)``."""
        return f"{self.name}({', '.join(map(_shown, self.arguments))})"


class Invalid(Exception):  # noqa: N818 - as above
    """A transaction that can't be in the block.

    Args:
        reason: in the words that nodes use.
        gap: whether it only waits for an earlier nonce.
    """

    def __init__(self, reason: str, *, gap: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.gap = reason, gap


def selector_of(name: str) -> bytes:
    """Four bytes that revert data of this error begins with."""
    return _shape(name)[0]


@lru_cache(maxsize=256)
def _shape(name: str) -> tuple[bytes, abi.Struct]:
    signature = ERRORS.get(name) or BRIDGE_ERRORS[name]
    kind = abi.parse(signature[len(name) :])
    assert isinstance(kind, abi.Struct)
    return keccak256(signature.encode())[:4], kind


def _shown(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
