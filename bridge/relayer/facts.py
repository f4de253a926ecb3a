"""Asking what is true of messages: L1's side of :class:`bridge.relayer.lifecycle.Facts`, in three batches whatever their number."""

from collections.abc import Sequence

from bridge.relayer.lifecycle import Facts
from bridge.relayer.portal import Portal, Standing
from bridge.relayer.store import Message


async def gather(
    portal: Portal, standing: Standing, messages: Sequence[Message], safe: int, now: int
) -> dict[str, Facts]:
    """Facts by hash.

    Args:
        portal: the rollup's contracts on L1.
        standing: what they say of all messages.
        messages: of the rollup.
        safe: the rollup's safe head.
        now: time of the next L1 block, unix seconds.

    Raises:
        RpcError: L1 refuses.
        PeerUnreachable: no answer.
        AbiMismatch: there are other contracts at the addresses.
    """
    progress = await portal.progress([message.hash for message in messages])
    last = standing.last.block if standing.last else -1
    covering = await portal.covering(sorted({each.block for each in messages if each.block <= last}))
    proven = {each.proven.index for each in progress.values() if each.proven}
    outputs = await portal.outputs(sorted({*covering.values(), *proven}))
    found = {}
    for message in messages:
        own = progress[message.hash]
        found[message.hash] = Facts(
            now=now,
            period=standing.period,
            paused=standing.paused,
            safe=safe,
            covering=outputs.get(covering.get(message.block, -1)),
            proven=own.proven,
            standing=outputs.get(own.proven.index) if own.proven else None,
            finalized=own.finalized,
        )
    return found
