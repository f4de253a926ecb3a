"""Waiting until L1 has what a drained devnet owes it, so that an observation can tell whether L1's side works. An edge."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from bridge.contracts.op import op_artifact
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.chains import ChainHandle
from orchestrator.checks.decoding import events_seen
from orchestrator.checks.settlement import limits_of
from orchestrator.devnet import Devnet
from orchestrator.load.history import FILE_NAME as HISTORY
from orchestrator.load.history import Kind, read_history
from orchestrator.settlement.deployments import deployments

LOOK_S = 0.1
"""Between two looks, seconds."""
_PORTAL = op_artifact("OptimismPortal").interface


async def settle(net: Devnet, within_s: float) -> tuple[str, ...]:
    """Wait until blocks of now are safe and, where there is time enough for it, the load's withdrawals are finalized.

    Args:
        net: with its load stopped and drained, and all faults healed.
        within_s: longest wait, seconds; withdrawals that the topology gives more than that are not waited for.

    Returns:
        What was still missing, one sentence each. Checkers judge that; this only waits.
    """
    until = time.monotonic() + within_s
    owed: dict[str, Callable[[], Awaitable[bool]]] = {
        f"the safe head of {name} does not move on": _Safe(chain).reached
        for name, chain in net.rollups.items()
    }
    sent = await asyncio.to_thread(_withdrawals, net)
    for name, needed in limits_of(net.plan).final_s.items():
        if needed <= within_s and sent[name]:
            owed[f"withdrawals of {name} are not finalized"] = partial(_paid, net, name, sent[name])
    while owed:
        for what in [what for what, settled in owed.items() if await _answered(settled)]:
            del owed[what]
        if not owed or time.monotonic() > until:
            break
        await asyncio.sleep(LOOK_S)
    return tuple(owed)


class _Safe:
    """A safe head that has to come to where its chain stood at the first look."""

    def __init__(self, chain: ChainHandle) -> None:
        self._chain = chain
        self._wanted: int | None = None

    async def reached(self) -> bool:
        if self._wanted is None:
            self._wanted = int(await self._chain.client.call("eth_blockNumber"), 16)
        safe = await self._chain.client.call("eth_getBlockByNumber", "safe", False)
        return int(safe["number"], 16) >= self._wanted


def _withdrawals(net: Devnet) -> dict[str, list[str]]:
    """The load's withdrawals that are in blocks, by rollup."""
    found: dict[str, list[str]] = {name: [] for name in net.rollups}
    for one in read_history(net.directory.path / HISTORY).operations:
        if one.kind is Kind.WITHDRAWAL and one.outcome == "included":
            found[one.legs[0].chain].append(one.id)
    return found


async def _paid(net: Devnet, rollup: str, left: list[str]) -> bool:
    """Whether L1 has finalized all of them; those that it has leave the list."""
    portal = deployments(net.plan).rollups[rollup].portal
    for transaction in tuple(left):
        receipt = await net.rollups[rollup].client.call("eth_getTransactionReceipt", transaction)
        names = [
            str(event.arguments["withdrawalHash"])
            for event in events_seen(receipt["logs"] if receipt else ())
            if event.name == "MessagePassed"
        ]
        if not await _finalized(net, portal, names):
            return False
        left.remove(transaction)
    return True


async def _finalized(net: Devnet, portal: str, names: Sequence[str]) -> bool:
    for name in names:
        call = {"to": portal, "data": to_hex(_PORTAL.encode_call("finalizedWithdrawals", from_hex(name)))}
        answer = await net.l1.client.call("eth_call", call, "latest")
        if not _PORTAL.decode_result("finalizedWithdrawals", from_hex(answer))[0]:
            return False
    return True


async def _answered(settled: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await settled()
    except (PeerUnreachable, RpcError):
        return False
