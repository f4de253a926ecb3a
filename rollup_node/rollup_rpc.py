"""What the OP Stack's rollup node answers: ``optimism_*`` methods, for the tools that ask op-node.

Only what is true here is given: fields of op-node that have no meaning in rollnet (peer-to-peer, interop) are left out.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from bridge.wire.derivation import Derivation
from bridge.wire.errors import INVALID_PARAMS, RESOURCE_NOT_FOUND, RpcError
from rollup_node.chain import Chain
from rollup_node.engines.base import Header
from rollup_node.outputs import Outputs, read_output


class RollupRpc:
    """Answers questions about derivation and outputs."""

    def __init__(self, chain: Chain, derivation: Derivation, outputs: Outputs) -> None:
        self._chain, self._derivation, self._outputs = chain, derivation, outputs
        self.methods: Mapping[str, Callable[..., Awaitable[Any]]] = {
            "optimism_outputAtBlock": self._output_at_block,
            "optimism_syncStatus": self._sync_status,
        }

    async def _output_at_block(self, number: str) -> dict[str, Any]:
        height = _height(number)
        block = await self._chain.read("eth_getBlockByNumber", [hex(height), False])
        if block is None or height > self._chain.gate.number:
            raise RpcError(RESOURCE_NOT_FOUND, f"block {height} is not on this chain")
        output = self._outputs.at(height)
        if output is None or output.block_hash != block["hash"]:
            header = Header(height, block["hash"], block["parentHash"], 0, 0, 0, 0, block["stateRoot"])
            output = await read_output(self._chain.engine, header)
        return {
            "version": "0x" + "00" * 32,
            "outputRoot": output.root,
            "blockRef": {"hash": output.block_hash, "number": height, "parentHash": block["parentHash"]},
            "withdrawalStorageRoot": output.message_passer_root,
            "stateRoot": output.state_root,
        }

    async def _sync_status(self) -> dict[str, Any]:
        heads = self._chain.heads
        current = self._derivation.l1_block(self._derivation.l1_head)
        numbers = {
            "unsafe_l2": heads.latest,
            "safe_l2": heads.safe,
            "finalized_l2": heads.finalized,
        }
        blocks = {
            name: await self._chain.read("eth_getBlockByNumber", [hex(number), False])
            for name, number in numbers.items()
        }
        return {
            "current_l1": {"hash": current.info.hash, "number": current.info.number} if current else None,
            **{
                name: {
                    "hash": block["hash"],
                    "number": numbers[name],
                    "timestamp": int(block["timestamp"], 16),
                }
                for name, block in blocks.items()
            },
        }


def _height(number: Any) -> int:
    try:
        return int(number, 16)
    except (TypeError, ValueError) as exc:
        raise RpcError(
            INVALID_PARAMS, f"expected a block number in hexadecimal, got {str(number)[:40]}"
        ) from exc
