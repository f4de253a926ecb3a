"""Reading the outputs that stand on L1, also while the engine's newest block is not yet what it says."""

from collections.abc import Sequence
from typing import Any

import pytest
from eth_abi.abi import encode

from bridge.contracts.op import op_artifact
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import to_hex
from orchestrator.verification.proposals import proposed_outputs

PANIC = RpcError(3, "execution reverted: panic: array out-of-bounds access (0x32)")
COUNT = op_artifact("L2OutputOracle").interface.encode_call("nextOutputIndex")


class Oracle(Client):
    """An L1 that counts as many outputs as it is told to, one answer after the other, and has fewer."""

    def __init__(self, *counts: int, has: int) -> None:
        super().__init__("http://127.0.0.1:1")
        self.counts, self.has = list(counts), has

    async def call(self, method: str, *params: Any, deadline: float | None = None) -> Any:
        """How many there are."""
        del deadline
        assert ("eth_call", to_hex(COUNT), "0x7") == (method, params[0]["data"], params[1])
        return to_hex(encode(["uint256"], [self.counts.pop(0)]))

    async def batch(
        self, calls: Sequence[tuple[str, Sequence[Any]]], deadline: float | None = None
    ) -> list[Any | RpcError]:
        """Each of them: of the block that is a hundred times its number."""
        del deadline
        return [
            to_hex(encode(["(bytes32,uint128,uint128)"], [(bytes([index]) * 32, 9, 100 * index)]))
            if index < self.has
            else PANIC
            for index in range(len(calls))
        ]


async def test_what_a_block_ahead_of_itself_counts_is_counted_again() -> None:
    """An output that the next block brings is none of this one's."""
    expected = {100 * index: "0x" + f"{index:02x}" * 32 for index in range(3)}
    assert expected == await proposed_outputs(Oracle(3, has=3), "0x" + "11" * 20, 7)
    assert expected == await proposed_outputs(Oracle(4, 3, has=3), "0x" + "11" * 20, 7)
    assert {} == await proposed_outputs(Oracle(1, 0, has=0), "0x" + "11" * 20, 7)


async def test_what_stays_missing_is_an_error() -> None:
    """An oracle that says the same twice, and hasn't what it says, can't be read."""
    with pytest.raises(RpcError, match="out-of-bounds"):
        await proposed_outputs(Oracle(4, 4, has=3), "0x" + "11" * 20, 7)
