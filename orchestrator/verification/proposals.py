"""The output roots that stand on L1."""

from collections.abc import Sequence
from typing import Any

from bridge.contracts.op import op_artifact
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex


async def proposed_outputs(l1: Client, oracle: str, block: int) -> dict[int, str]:
    """Output roots that stand on L1 at a block, by L2 block number.

    Raises:
        RpcError: L1 refuses.
        PeerUnreachable: no answer.
    """
    interface = op_artifact("L2OutputOracle").interface

    def question(function: str, *arguments: Any) -> tuple[str, Sequence[Any]]:
        data = to_hex(interface.encode_call(function, *arguments))
        return "eth_call", [{"to": oracle, "data": data}, hex(block)]

    async def counted() -> int:
        method, parameters = question("nextOutputIndex")
        (count,) = interface.decode_result("nextOutputIndex", from_hex(await l1.call(method, *parameters)))
        return int(count)

    count, known = await counted(), -1
    # of its newest block anvil may already say what the next one brings: then what it counts isn't there
    while count != known:
        replies = await l1.batch([question("getL2Output", index) for index in range(count)])
        if not any(isinstance(reply, RpcError) for reply in replies):
            break
        known, count = count, await counted()
    roots: dict[int, str] = {}
    for reply in replies:
        if isinstance(reply, RpcError):
            raise reply
        ((root, _, number),) = interface.decode_result("getL2Output", from_hex(reply))
        roots[number] = to_hex(root)
    return roots
