"""The header that goes around a block: Ethereum's, so that every tool reads it, with our tree's root as the state root.

``extraData`` is a Merkle root over the root after each transaction. So the block's hash, and the output root that L1 is told, commit
to every single step, and whoever proves one of them wrong needs nothing but that step.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bridge.wire import rlp
from bridge.wire.keccak import keccak256
from rollup_node.engines.options.state.trie import ordered_root
from rollup_node.engines.options.transactions.receipts import bloom
from rollup_node.engines.options.transition.block import BlockContent, Executed

EMPTY_UNCLES = keccak256(rlp.encode([]))
COINBASE = bytes.fromhex("4200000000000000000000000000000000000011")
"""The OP Stack's sequencer fee vault, as on EVM rollups."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A block's header, whole."""

    parent: bytes
    state_root: bytes
    transactions_root: bytes
    receipts_root: bytes
    bloom: bytes
    number: int
    gas_limit: int
    gas_used: int
    timestamp: int
    extra: bytes
    """Root over the steps; empty where they aren't taken."""
    base_fee: int

    @property
    def encoded(self) -> bytes:
        """The RLP of the header, with the fields of London."""
        return rlp.encode(
            [
                self.parent, EMPTY_UNCLES, COINBASE, self.state_root, self.transactions_root, self.receipts_root,
                self.bloom, 0, self.number, self.gas_limit, self.gas_used, self.timestamp, self.extra,
                bytes(32), bytes(8), self.base_fee,
            ]
        )  # fmt: skip

    @property
    def hash(self) -> bytes:
        """The block's name."""
        return keccak256(self.encoded)


def seal(executed: Executed, block: BlockContent, parent: bytes, gas_limit: int) -> Sealed:
    """The header of a block that was executed.

    Args:
        executed: what it came to.
        block: what it was made of.
        parent: hash of the block before.
        gas_limit: of the rollup.
    """
    receipts = executed.receipts
    return Sealed(
        parent=parent,
        state_root=executed.root,
        transactions_root=ordered_root([receipt.raw for receipt in receipts]),
        receipts_root=ordered_root([receipt.encoded for receipt in receipts]),
        bloom=bloom(log for receipt in receipts for log in receipt.logs),
        number=block.number,
        gas_limit=gas_limit,
        gas_used=receipts[-1].cumulative_gas if receipts else 0,
        timestamp=block.timestamp,
        extra=steps_root(executed.steps),
        base_fee=block.base_fee,
    )


def steps_root(steps: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Merkle root over (transaction hash, state root after it), in the order of execution; empty for no steps.

    Leaves are hashed twice and nodes once, so that none can pass for the other; an odd one goes up as it is.
    """
    return _levels(steps)[-1][0] if steps else b""


def step_proof(steps: Sequence[tuple[bytes, bytes]], index: int) -> list[bytes]:
    """Siblings of one step, from the leaf up; where there is none on a level, none."""
    return step_proofs(steps, range(index, index + 1))[0]


def step_proofs(steps: Sequence[tuple[bytes, bytes]], indices: Iterable[int]) -> list[list[bytes]]:
    """Those of several; all is hashed once, however many are asked for."""
    levels = _levels(steps)[:-1]
    return [
        [level[place] for depth, level in enumerate(levels) if (place := index >> depth ^ 1) < len(level)]
        for index in indices
    ]


def verify_step(
    root: bytes, count: int, index: int, step: tuple[bytes, bytes], proof: Sequence[bytes]
) -> bool:
    """Whether a block of ``count`` steps has this one at ``index``."""
    if not 0 <= index < count:
        return False
    node, siblings = _leaf(*step), list(proof)
    while count > 1:
        if index ^ 1 < count:
            if not siblings:
                return False
            other = siblings.pop(0)
            node = keccak256(other + node if index & 1 else node + other)
        index, count = index // 2, (count + 1) // 2
    return not siblings and node == root


def _levels(steps: Sequence[tuple[bytes, bytes]]) -> list[list[bytes]]:
    """From the leaves up to the root."""
    levels = [[_leaf(*step) for step in steps]]
    while len(below := levels[-1]) > 1:
        levels.append(
            [
                keccak256(below[i] + below[i + 1]) if i + 1 < len(below) else below[i]
                for i in range(0, len(below), 2)
            ]
        )
    return levels


def _leaf(transaction: bytes, root: bytes) -> bytes:
    return keccak256(keccak256(transaction + root))
