"""A node's notes of its outputs: what L1 is told about the rollup's state (``bridge.wire.outputs``).

An output commits to a block's state root, to the storage root of the message passer (so that withdrawals can be proven without the
rest of the state), and to the block's hash. The engine serves only recent states, and an output may be wanted long
after its block, so the node notes the parts of each block that will be proposed just before the block is committed.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import orjson

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER
from bridge.wire.crash_points import crash_within
from bridge.wire.disk import DISK, Disk
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.outputs import OutputParts
from rollup_node.engines.base import Engine, Header
from rollup_node.errors import EngineFailed


@dataclass(frozen=True, slots=True)
class Output:
    """The parts of one output root."""

    number: int
    """L2 block."""
    block_hash: str
    state_root: str
    message_passer_root: str
    """Storage root of the message passer."""

    @property
    def parts(self) -> OutputParts:
        """What L1 is shown in proofs against it."""
        return OutputParts(self.state_root, self.message_passer_root, self.block_hash)

    @property
    def root(self) -> str:
        """What L1 is told."""
        return self.parts.root


async def read_output(engine: Engine, header: Header) -> Output:
    """The output of a block whose state the engine still has.

    Raises:
        RpcError: it does not have it.
    """
    proof = await engine.request("eth_getProof", [L2_TO_L1_MESSAGE_PASSER, [], hex(header.number)])
    return Output(header.number, header.hash, header.state_root, proof["storageHash"])


class Outputs:
    """Outputs of the blocks that are due for proposal.

    Args:
        engine: the node's.
        path: file that keeps them; lines of JSON, the last for a number counts.
        interval: L2 blocks between two proposals.
        disk: where the file is.
    """

    def __init__(self, engine: Engine, path: Path, interval: int, disk: Disk = DISK) -> None:
        self._engine, self._path, self._interval, self._disk = engine, path, interval, disk
        self._outputs: dict[int, Output] = {}
        good = 0
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
            output = _output(line)
            if output is None:
                os.truncate(path, good)  # torn by a kill: its block is executed again, and noted again
                break
            self._outputs[output.number] = output
            good += len(line)

    async def note(self, header: Header) -> None:
        """A block is about to be committed; run while the engine stands at it.

        What is noted of a number before its (new) block is committed is not to be used: ask only for safe blocks.

        Raises:
            EngineFailed: the engine has the block but not its state.
        """
        known = self._outputs.get(header.number)
        if header.number % self._interval or (known is not None and known.block_hash == header.hash):
            return
        try:
            output = await read_output(self._engine, header)
        except (RpcError, PeerUnreachable) as exc:
            raise EngineFailed(f"no output of block {header.number}, which was just executed: {exc}") from exc
        line = orjson.dumps(output) + b"\n"
        file = self._disk.open(self._path)
        end = self._disk.size(self._path)
        try:
            crash_within("rollup.output.torn", lambda part: self._disk.append(file, part), line)
            self._disk.append(file, line)
        except OSError:
            self._disk.cut(file, end)  # else the next note would stand on the same line
            raise
        finally:
            self._disk.close(file)
        self._outputs[header.number] = output

    def at(self, number: int) -> Output | None:
        """The output of a safe block, if it was due for proposal."""
        return self._outputs.get(number)


def _output(line: bytes) -> Output | None:
    try:
        return Output(**orjson.loads(line)) if line.endswith(b"\n") else None
    except (orjson.JSONDecodeError, TypeError):
        return None
