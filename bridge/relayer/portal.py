"""Reading a rollup's contracts on L1: its portal and its output oracle. The edge where ABI becomes values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bridge.contracts.op import op_artifact
from bridge.l1.account_store import Receipt
from bridge.l1.errors import WouldRevert
from bridge.l1.simulation import MARGIN, gas_for
from bridge.relayer.lifecycle import Output, Proven
from bridge.relayer.withdrawal import Inclusion, Withdrawal
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex

PORTAL = op_artifact("OptimismPortal").interface
ORACLE = op_artifact("L2OutputOracle").interface
ESTIMATOR: Final = "0x0000000000000000000000000000000000000001"
"""For this sender the portal reverts when the withdrawal's call fails, so that an estimate covers the call's own wishes."""
GENEROUS_GAS = 5_000_000
"""Gas that a withdrawal's call may cost beyond what it was sent with: the relayer pays."""
NO_ROOT = "0x" + "00" * 32


@dataclass(frozen=True, slots=True)
class Standing:
    """The contracts of one rollup at one moment."""

    period: int
    """Challenge period, seconds."""
    paused: bool
    last: Output | None
    """The last output."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one withdrawal is on L1."""

    proven: Proven | None
    finalized: bool


class Portal:
    """One rollup's contracts on L1.

    Args:
        client: the L1 node.
        portal: address of OptimismPortal.
        oracle: address of L2OutputOracle.
    """

    def __init__(self, client: Client, portal: str, oracle: str) -> None:
        self._client, self.address, self._oracle = client, portal, oracle

    async def standing(self) -> Standing:
        """What concerns all withdrawals.

        Raises:
            RpcError: L1 refuses.
            PeerUnreachable: no answer.
            AbiMismatch: there are other contracts at the addresses.
        """
        period, paused, count = await self._ask(
            (ORACLE, self._oracle, "finalizationPeriodSeconds", ()),
            (PORTAL, self.address, "paused", ()),
            (ORACLE, self._oracle, "nextOutputIndex", ()),
        )
        last = (await self.outputs([count - 1])).get(count - 1) if count else None
        return Standing(period, paused, last)

    async def progress(self, hashes: Sequence[str]) -> dict[str, Progress]:
        """How far withdrawals are, by hash; raises as :meth:`standing`."""
        calls = [
            (PORTAL, self.address, function, (from_hex(digest, 32),))
            for digest in hashes
            for function in ("provenWithdrawals", "finalizedWithdrawals")
        ]
        answers = iter(await self._ask(*calls))
        found = {}
        for digest in hashes:
            root, timestamp, index = next(answers)
            proven = Proven(to_hex(root), timestamp, index) if timestamp else None
            found[digest] = Progress(proven, next(answers))
        return found

    async def outputs(self, indexes: Sequence[int]) -> dict[int, Output]:
        """Outputs by index; those that don't exist are left out. Raises as :meth:`standing`."""
        calls = [(ORACLE, self._oracle, "getL2Output", (index,)) for index in indexes]
        answers = await self._ask(*calls, missing=None)
        return {
            index: Output(index, to_hex(answer[0]), answer[1], answer[2])
            for index, answer in zip(indexes, answers, strict=True)
            if answer is not None
        }

    async def covering(self, blocks: Sequence[int]) -> dict[int, int]:
        """Index of the first output of each L2 block or a later one, where there is one; raises as :meth:`standing`."""
        calls = [(ORACLE, self._oracle, "getL2OutputIndexAfter", (block,)) for block in blocks]
        answers = await self._ask(*calls, missing=None)
        return {block: index for block, index in zip(blocks, answers, strict=True) if index is not None}

    def proving(self, withdrawal: Withdrawal, output: Output, proof: Inclusion) -> bytes:
        """Call data that proves a withdrawal."""
        return PORTAL.encode_call(
            "proveWithdrawalTransaction", withdrawal.struct, output.index, proof.parts.struct, proof.nodes
        )

    def finalizing(self, withdrawal: Withdrawal) -> bytes:
        """Call data that finalizes a withdrawal."""
        return PORTAL.encode_call("finalizeWithdrawalTransaction", withdrawal.struct)

    async def finalizing_gas(self, data: bytes, sender: str) -> int:
        """Gas limit to finalize with: what was paid for on the rollup, and more if the call would need it.

        Raises:
            WouldRevert: the portal refuses.
            RpcError: L1 refuses to say.
            PeerUnreachable: no answer.
        """
        to = from_hex(self.address, 20)
        least = await gas_for(self._client, sender, to, data, 0, interface=PORTAL)
        try:
            wished = await gas_for(self._client, ESTIMATOR, to, data, 0, interface=PORTAL)
        except WouldRevert:
            return int(
                least * MARGIN
            )  # the call fails with any gas; the portal takes the withdrawal all the same
        return int(max(least, min(wished, GENEROUS_GAS)) * MARGIN)

    async def finalized_in(self, digest: str) -> tuple[str, bool] | None:
        """The transaction that finalized a withdrawal, and whether its call succeeded; raises as :meth:`standing`."""
        topics = [to_hex(PORTAL.topic("WithdrawalFinalized")), digest]
        query = {"address": self.address, "topics": topics, "fromBlock": "0x0", "toBlock": "latest"}
        logs = await self._client.call("eth_getLogs", query)
        return (logs[-1]["transactionHash"], succeeded(logs[-1])) if logs else None

    async def _ask(self, *calls: tuple[Any, str, str, tuple[Any, ...]], missing: Any = ...) -> list[Any]:
        """Results of view functions, unwrapped if there is one value; `missing` stands for one that reverts."""
        asked = [
            ("eth_call", [{"to": to, "data": to_hex(interface.encode_call(function, *arguments))}, "latest"])
            for interface, to, function, arguments in calls
        ]
        results = []
        for (interface, _, function, _), answer in zip(
            calls, await self._client.batch(asked) if asked else [], strict=True
        ):
            if isinstance(answer, RpcError):
                if missing is ...:
                    raise answer
                results.append(missing)
                continue
            values = interface.decode_result(function, from_hex(answer))
            results.append(values[0] if len(values) == 1 else values)
        return results


def succeeded(log: Mapping[str, Any]) -> bool:
    """Whether a ``WithdrawalFinalized`` log says that the withdrawal's call succeeded."""
    return int(log["data"], 16) == 1


def outcome(receipt: Receipt, digest: str) -> bool | None:
    """Whether the call of a withdrawal succeeded in a transaction; None if it wasn't made there."""
    topic = to_hex(PORTAL.topic("WithdrawalFinalized"))
    found = [log for log in receipt.logs if log["topics"][:2] == [topic, digest]]
    return succeeded(found[0]) if found else None
