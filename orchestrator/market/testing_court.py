"""For tests of proofs on L1 about an options rollup's blocks: the contract that judges them, beside the rollup's outputs."""

import contextlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from bridge.contracts.artifacts import artifact
from bridge.contracts.op import op_artifact
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.outputs import OutputParts
from orchestrator.market.scratch import scratch_anvil
from rollup_node.engines.options.omissions import Holder
from rollup_node.engines.options.transition.testing import PARAMETERS

OMISSION, ORACLE = artifact("LiquidationOmission"), op_artifact("L2OutputOracle")
PROPOSER = "0x" + "0d" * 20
GAS = 30_000_000


@dataclass(slots=True)
class Court:
    """The contract on an L1, and the rollup's outputs there."""

    client: Client
    outputs: str = ""
    address: str = ""

    async def send(self, to: str | None, data: bytes) -> dict[str, Any]:
        """A transaction's receipt."""
        request = {"from": PROPOSER, "data": to_hex(data), "gas": hex(GAS)} | ({"to": to} if to else {})
        digest, _ = await self.client.batch([("eth_sendTransaction", [request]), ("evm_mine", [])])
        return dict(await self.client.call("eth_getTransactionReceipt", digest))

    async def deploy(self, most: int) -> str:
        """The contract for rollups with this limit; its address."""
        return str((await self.send(None, OMISSION.deployment(self.outputs, most)))["contractAddress"])

    async def propose(self, output: OutputParts) -> int:
        """Index of an output that now stands."""
        data = ORACLE.interface.encode_call("nextBlockNumber")
        number = int(
            await self.client.call("eth_call", {"to": self.outputs, "data": to_hex(data)}, "latest"), 16
        )
        root = from_hex(output.root, 32)
        receipt = await self.send(
            self.outputs, ORACLE.interface.encode_call("proposeL2Output", root, number, bytes(32), 0)
        )
        assert receipt["status"] == "0x1"
        return number - 1

    async def judge(
        self, output: OutputParts, cases: Iterable[tuple[tuple[Any, ...], Holder]], root: str | None = None
    ) -> list[str]:
        """For each section and account the error that refuses it; empty: it is accepted."""
        asked = []
        for section, holder in cases:
            data = OMISSION.interface.encode_call(
                "check", from_hex(root or output.root, 32), output.struct, section, holder.arguments
            )
            asked.append(
                ("eth_call", [{"to": self.address, "data": to_hex(data), "gas": hex(GAS)}, "latest"])
            )
        return [error_of(answer) for answer in await self.client.batch(asked)]


def error_of(answer: Any) -> str:
    """Name of the error that an answer to ``eth_call`` is; empty: it is none."""
    if not isinstance(answer, RpcError):
        return ""
    found = OMISSION.interface.decode_error(from_hex(answer.data)) if isinstance(answer.data, str) else None
    return found.name if found else f"unknown: {answer}"


@contextlib.asynccontextmanager
async def court_on_l1() -> AsyncIterator[Court]:
    """The contract beside the OP Stack's own L2OutputOracle."""
    async with scratch_anvil("--no-mining", "--gas-limit", str(GAS)) as client:
        found = Court(client)
        await client.call("anvil_setBalance", PROPOSER, hex(10**20))
        made = (await found.send(None, ORACLE.deployment()))["contractAddress"]
        found.outputs = "0x" + "0a" * 20  # as behind a proxy: the code without what its constructor stored
        await client.call("anvil_setCode", found.outputs, await client.call("eth_getCode", made, "latest"))
        begun = ORACLE.interface.encode_call("initialize", 1, 1, 0, 0, PROPOSER, PROPOSER, 1)
        assert (await found.send(found.outputs, begun))["status"] == "0x1"
        found.address = await found.deploy(PARAMETERS.max_liquidations)
        yield found
