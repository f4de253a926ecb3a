"""Telling the journal of a message's life: each stage once, in order, with the log that shows it and what this relayer paid for it.

What comes before, up to ``message.finalized``, is told of the withdrawal that carries the message (``bridge.relayer.withdrawals``), under the same name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bridge.l1.account_store import Receipt
from bridge.relayer import lifecycle
from bridge.relayer.messages.lifecycle import TOLD, State
from bridge.relayer.messages.queue import CrossingQueue
from bridge.relayer.messages.sightings import Sighting, Sign
from bridge.relayer.messages.steps import MessageSteps
from bridge.relayer.messages.store import Crossing
from bridge.relayer.retrying import Retry
from bridge.relayer.store import Message, Store
from bridge.wire.keccak import to_hex
from bridge.wire.stages import Stage

_EVENTS = {
    State.FORWARDED: Stage.MESSAGE_DEPOSITED,
    State.FAILED: Stage.MESSAGE_FAILED,
    State.EXECUTED: Stage.MESSAGE_EXECUTED,
    State.RETURNING: "message.returning",
    State.REFUNDED: Stage.MESSAGE_REFUNDED,
}
_SHOWN_BY = {
    State.FORWARDED: (Sign.ROUTED,),
    State.FAILED: (Sign.FAILED,),
    State.EXECUTED: (Sign.EXECUTED,),
    State.RETURNING: (Sign.EXPORTED, Sign.RETURNED),
    State.REFUNDED: (Sign.REFUNDED,),
}
_BEHIND = {
    State.FAILED: State.FORWARDED,
    State.EXECUTED: State.FORWARDED,
    State.REFUNDED: State.RETURNING,
}
"""What has to be told before: chains are read one after the other, and a later one may be ahead."""


@dataclass(frozen=True, slots=True)
class Told:
    """What was told."""

    crossing: Crossing
    signs: frozenset[Sign]
    """What its logs say."""
    complete: bool
    """Whether everything that was seen is told."""


class Teller:
    """Tells the journal of messages between rollups.

    Args:
        queue: of messages.
        withdrawals: knows how far the withdrawals are told.
        steps: know what was paid.
        names: of rollups, by chain id.
    """

    def __init__(
        self, queue: CrossingQueue, withdrawals: Store, steps: MessageSteps, names: Mapping[int, str]
    ) -> None:
        self._queue, self._withdrawals, self._steps, self._names = queue, withdrawals, steps, names

    async def tell(self, crossing: Crossing) -> Told:
        """Tell what was seen of a message and not told yet, and that what was told is no longer so."""
        sightings = self._queue.sightings(crossing.hash)
        shown = {
            state: found
            for state in TOLD
            if (found := [each for sign in _SHOWN_BY[state] for each in sightings if each.sign is sign])
        }
        gone = [state for state in crossing.told if state not in shown]
        if gone:
            told = tuple(state for state in crossing.told if state in shown)
            self._queue.emit("message.set_back", crossing, since=gone[0], to=crossing.state)
            crossing = replace(crossing, told=told)
        for state in shown:
            if state not in crossing.told and self._may_tell(crossing, state, shown[state][0]):
                crossing = await self._stage(crossing, state, shown[state][0])
        complete = all(state in crossing.told for state in shown)
        return Told(crossing, frozenset(each.sign for each in sightings), complete)

    def failed(self, crossing: Crossing, retry: Retry) -> None:
        """Tell that a step failed."""
        event = "message.dead" if retry.dead else "message.retried"
        self._queue.emit(event, crossing, reason=retry.reason, failures=retry.failures)

    def _may_tell(self, crossing: Crossing, state: State, sighting: Sighting) -> bool:
        if state in _BEHIND:
            return _BEHIND[state] in crossing.told
        if sighting.sign is Sign.EXPORTED:
            return True
        # On L1 it is the finalization of the withdrawal that does it: that is told first.
        carrier = self._carrier(crossing)
        return carrier is not None and carrier.told is lifecycle.State.FINALIZED

    async def _stage(self, crossing: Crossing, state: State, sighting: Sighting) -> Crossing:
        attributes: dict[str, Any] = {"destination": self._named(crossing.envelope.destination)}
        causes = []
        if sighting.sign in (Sign.ROUTED, Sign.RETURNED):
            carrier = self._carrier(crossing)
            attributes |= {"rollup": self._named(crossing.envelope.source), "l1_block": sighting.block}
            attributes |= {"l1_tx": sighting.transaction, **await self._paid_on_l1(carrier, sighting)}
            causes += [carrier.cause] if carrier else []
        else:
            receipt = await self._steps.paid(sighting.chain_id, sighting.transaction)
            attributes |= {"rollup": self._named(sighting.chain_id), "chain_id": sighting.chain_id}
            attributes |= {"block": sighting.block, "l2_tx": sighting.transaction}
            attributes |= _cost(receipt) if receipt else {}
        if state is State.REFUNDED:
            causes += [each.cause for each in self._queue.carriers(crossing.hash, Sign.RETURNING)]
        if state is State.FAILED:
            attributes["reason"] = to_hex(sighting.data)
        if state in (State.EXECUTED, State.REFUNDED):
            attributes["value"] = str(crossing.envelope.value)
        event = self._queue.emit(_EVENTS[state], crossing, *causes, **attributes)
        return replace(crossing, told=(*crossing.told, state), cause=event)

    async def _paid_on_l1(self, carrier: Message | None, sighting: Sighting) -> dict[str, Any]:
        receipt = await self._steps.paid(None, sighting.transaction)
        if receipt is not None and carrier is not None and carrier.finalized_by == sighting.transaction:
            return {"by": "relayer"}  # what it cost is told with the finalization
        return _cost(receipt)

    def _carrier(self, crossing: Crossing) -> Message | None:
        return self._withdrawals.get(crossing.envelope.source, crossing.withdrawal)

    def _named(self, chain_id: int) -> str:
        return self._names.get(chain_id, str(chain_id))


def _cost(receipt: Receipt | None) -> dict[str, Any]:
    if receipt is None:
        return {"by": "other"}
    return {"by": "relayer", "gas": receipt.gas_used, "wei": receipt.wei}
