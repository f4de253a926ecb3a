"""Proofs from a rollup that a withdrawal is in the state of a proposed output."""

from typing import Any

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from bridge.relayer.errors import NotPassed, OutputWrong, StateGone
from bridge.relayer.lifecycle import Output
from bridge.relayer.withdrawal import Inclusion, storage_key
from bridge.wire.errors import Malformed, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex
from bridge.wire.outputs import OutputParts


async def inclusion(client: Client, digest: str, output: Output) -> Inclusion:
    """Prove a withdrawal against an output, after holding that the output is right.

    Args:
        client: the rollup's public RPC.
        digest: hash of the withdrawal.
        output: on L1, of the withdrawal's block or a later one.

    Raises:
        StateGone: the rollup does not serve the state of the output's block.
        OutputWrong: the output isn't what the rollup says of that block.
        NotPassed: the withdrawal isn't in that state.
        PeerUnreachable: no answer.
        Malformed: the rollup's answer is no proof.
    """
    block, proof = await client.batch(
        [
            ("eth_getBlockByNumber", [hex(output.block), False]),
            ("eth_getProof", [L2_TO_L1_MESSAGE_PASSER, [storage_key(digest)], hex(output.block)]),
        ]
    )
    for answer in (block, proof):
        if answer is None or isinstance(answer, RpcError):
            raise StateGone(f"the rollup does not serve the state of block {output.block}: {answer}")
    parts, value, nodes = _read(block, proof)
    if parts.root != output.root:
        raise OutputWrong(
            f"output {output.index} says {output.root} of block {output.block}, the rollup says {parts.root}"
        )
    if value != 1:
        raise NotPassed(f"it is not in the state of block {output.block}")
    return Inclusion(parts, nodes)


def _read(block: Any, proof: Any) -> tuple[OutputParts, int, tuple[bytes, ...]]:
    try:
        (entry,) = proof["storageProof"]
        parts = OutputParts(block["stateRoot"], proof["storageHash"], block["hash"])
        return parts, int(entry["value"], 16), tuple(from_hex(node) for node in entry["proof"])
    except (KeyError, TypeError, ValueError) as exc:
        raise Malformed(f"the rollup answered something that is no proof: {exc!r}") from exc
