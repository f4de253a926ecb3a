"""Output roots: what a rollup tells L1 about its state (OP Stack specification, withdrawals; version 0). Pure."""

from dataclasses import dataclass
from typing import Final

from bridge.wire.keccak import from_hex, keccak256, to_hex

OUTPUT_VERSION: Final = bytes(32)
"""Of the output root's layout."""


@dataclass(frozen=True, slots=True)
class OutputParts:
    """What an output root is the hash of."""

    state_root: str
    passer_root: str
    """Storage root of the message passer."""
    block_hash: str

    @property
    def root(self) -> str:
        """The output root."""
        return to_hex(keccak256(b"".join(self.struct)))

    @property
    def struct(self) -> tuple[bytes, bytes, bytes, bytes]:
        """``Types.OutputRootProof``, as the portal's functions take it."""
        return (
            OUTPUT_VERSION,
            from_hex(self.state_root, 32),
            from_hex(self.passer_root, 32),
            from_hex(self.block_hash, 32),
        )
