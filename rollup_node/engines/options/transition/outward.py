"""Calls of our contracts on L1 that this rollup makes through the messenger. Their selectors are held to the compiled contracts by a test."""

from dataclasses import dataclass, field
from typing import Any, Final

from bridge.wire.keccak import keccak256
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.interfaces import ENVELOPE, HEADER


@dataclass(frozen=True, slots=True)
class Outward:
    """A function on L1."""

    name: str
    types: str
    """Canonical argument list."""
    selector: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "selector", keccak256((self.name + self.types).encode())[:4])

    def call(self, *arguments: Any) -> bytes:
        """Calldata."""
        return self.selector + abi.encode(abi.parse(self.types), arguments)


FORWARD: Final = Outward("forward", f"({ENVELOPE})")
"""Of MessageRouter: pass a message on."""
RETURN: Final = Outward("returnUndelivered", f"({HEADER},uint64)")
"""Of MessageRouter: a message expired here, at that time."""
VOTE: Final = Outward("vote", "(bytes32,bool,bytes)")
"""Of StrategyRegistry: whether the legs here are set aside, and why not."""
