"""The first header of a chain, and what consensus sees of every other (``transition.sealing`` makes them)."""

from rollup_node.engines.base import Header
from rollup_node.engines.options.state.trie import EMPTY_ROOT
from rollup_node.engines.options.transition.parameters import Parameters
from rollup_node.engines.options.transition.sealing import Sealed

NO_LOGS = bytes(256)
"""The bloom of nothing."""


def genesis_header(
    parameters: Parameters, root: bytes, timestamp: int, extra: bytes, base_fee: int
) -> Sealed:
    """The header of block 0.

    Args:
        parameters: of the rollup.
        root: of the state that it begins with.
        timestamp: unix seconds.
        extra: what the chain's name shall depend on besides.
        base_fee: wei per gas.
    """
    return Sealed(
        bytes(32), root, EMPTY_ROOT, EMPTY_ROOT, NO_LOGS, 0, parameters.gas_limit, 0, timestamp, extra,
        0 if parameters.gas_free else base_fee,
    )  # fmt: skip


def header_of(sealed: Sealed) -> Header:
    """What consensus needs to know of it."""
    return Header(
        number=sealed.number,
        hash="0x" + sealed.hash.hex(),
        parent="0x" + sealed.parent.hex(),
        timestamp=sealed.timestamp,
        base_fee=sealed.base_fee,
        gas_used=sealed.gas_used,
        gas_limit=sealed.gas_limit,
        state_root="0x" + sealed.state_root.hex(),
    )
