"""The sequencer's JSON-RPC: bundles and transactions in, statuses, slots and the log out."""

import asyncio
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from bridge.wire.clock import CLOCK_METHODS
from bridge.wire.crash_points import crash_order
from bridge.wire.errors import (
    INVALID_PARAMS,
    RESOURCE_NOT_FOUND,
    RESOURCE_UNAVAILABLE,
    PeerUnreachable,
    RpcError,
)
from bridge.wire.jsonrpc import dispatcher
from bridge.wire.keccak import from_hex, to_hex
from shared_sequencer.admission import Admission
from shared_sequencer.mempool import End, Item, Mempool
from shared_sequencer.publisher import Publisher
from shared_sequencer.rollups import Rollup
from shared_sequencer.sequencer import Sequencer, commit_messages, without_causes
from shared_sequencer.slot_log import FORCED, SlotLog

MAX_PAGE = 500
"""Slots or blocks in one answer."""
MAX_WAIT_SECONDS = 30.0
"""Longest wait of ``rollnet_waitForEnd``."""

_STATUS = {
    "commit": "committed",
    "abort": "aborted",
    "expire": "expired",
    "include": "included",
    "drop": "dropped",
}


class SequencerRpc:
    """Answers users, rollup nodes and the orchestrator."""

    def __init__(
        self,
        *,
        sequencer: Sequencer,
        admission: Admission,
        mempool: Mempool,
        slots: SlotLog,
        publisher: Publisher,
        rollups: Sequence[Rollup],
    ) -> None:
        self._sequencer, self._admission, self._mempool = sequencer, admission, mempool
        self._slots, self._publisher, self._rollups = slots, publisher, rollups
        self._by_chain = {rollup.chain_id: rollup for rollup in rollups}
        self.handle = dispatcher(
            {
                "web3_clientVersion": self._client_version,
                "eth_sendBundle": self._send_bundle,
                "eth_sendRawTransaction": self._send_raw_transaction,
                "rollnet_sendTransaction": self._send_transaction,
                "rollnet_pendingNonce": self._pending_nonce,
                "rollnet_getStatus": self._get_status,
                "rollnet_waitForEnd": self._wait_for_end,
                "rollnet_getSlot": self._get_slot,
                "rollnet_getSlots": self._get_slots,
                "rollnet_getBlocks": self._get_blocks,
                "rollnet_status": self._status,
                "rollnet_crashAt": crash_order("sequencer"),
                **CLOCK_METHODS,
            }
        )

    async def _client_version(self) -> str:
        return "rollnet-sequencer/0.1.0"

    async def _send_bundle(self, bundle: Mapping[str, Any], cause: str | None = None) -> dict[str, str]:
        if not isinstance(bundle, Mapping):
            raise RpcError(INVALID_PARAMS, "eth_sendBundle takes {txs, maxTimestamp, salt}")
        unknown = set(bundle) - {"txs", "maxTimestamp", "salt"}
        if unknown:
            raise RpcError(
                INVALID_PARAMS, f"unknown fields {sorted(unknown)}; a bundle has txs, maxTimestamp, salt"
            )
        raws, salt = bundle.get("txs"), bundle.get("salt", "0x" + "00" * 32)
        if not isinstance(raws, list):
            raise RpcError(INVALID_PARAMS, "txs must be an array of raw signed transactions")
        deadline = _quantity(bundle.get("maxTimestamp"), "maxTimestamp (unix seconds)")
        digest = await self._admission.bundle(raws, deadline, salt, _event(cause))
        self._sequencer.wake()
        return {"bundleHash": digest}

    async def _send_raw_transaction(self, raw: str, cause: str | None = None) -> str:
        return await self._send_transaction(None, raw, cause)

    async def _send_transaction(self, chain_id: int | None, raw: str, cause: str | None = None) -> str:
        digest = await self._admission.transaction(raw, chain_id, _event(cause))
        self._sequencer.wake()
        return digest

    async def _pending_nonce(self, chain_id: int, address: str) -> str:
        rollup = self._by_chain.get(chain_id)
        if rollup is None:
            raise RpcError(RESOURCE_NOT_FOUND, f"no rollup with chain id {chain_id}")
        account = (chain_id, from_hex(str(address).lower(), 20))
        try:
            ((nonce, _),) = await rollup.client.call("rollup_accounts", [to_hex(account[1])])
        except PeerUnreachable as exc:
            raise RpcError(RESOURCE_UNAVAILABLE, f"rollup {rollup.name} does not answer") from exc
        known = self._mempool.next_nonce.get(account, 0)
        if not rollup.up:
            # it may still hold blocks that the log took back: what it says is not to be remembered
            return hex(max(self._mempool.pending_nonce(account), int(nonce, 16)))
        self._mempool.next_nonce[account] = max(known, int(nonce, 16))
        return hex(self._mempool.pending_nonce(account))

    async def _get_status(self, digest: str) -> dict[str, Any] | None:
        return self._describe(str(digest).lower())

    async def _wait_for_end(self, digest: str, seconds: float = MAX_WAIT_SECONDS) -> dict[str, Any] | None:
        """The status once the item has ended, or its present one when the time is over."""
        key = str(digest).lower()
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise RpcError(INVALID_PARAMS, f"seconds must be a number, got {str(seconds)[:60]}")
        try:
            async with asyncio.timeout(min(seconds, MAX_WAIT_SECONDS)), self._slots.changed:
                await self._slots.changed.wait_for(lambda: key not in self._mempool.waiting)
        except TimeoutError:
            pass
        return self._describe(key)

    async def _get_slot(self, number: int | str) -> Any:
        index = _quantity(number, "slot number")
        if index >= len(self._slots.slots):
            return None
        return without_causes(self._slots.slots[index])

    async def _get_slots(self, first: int | str, count: int | str = 100) -> Any:
        start = _quantity(first, "slot number")
        slots = self._slots.slots[start : start + min(_quantity(count, "count"), MAX_PAGE)]
        return [without_causes(slot) for slot in slots]

    async def _get_blocks(self, chain_id: int, first: int | str, count: int | str) -> list[Any]:
        """Commit messages of a rollup's blocks from number ``first`` on, for nodes that missed them.

        They end before a block that L1 forced: nodes have that from L1.
        """
        start = max(_quantity(first, "block number"), 1) - 1
        size = min(_quantity(count, "count"), MAX_PAGE)
        numbers = self._slots.by_chain.get(chain_id, [])[start : start + size]
        messages: list[Any] = []
        for number in itertools.takewhile(lambda number: number != FORCED, numbers):
            slot = self._slots.slots[number]
            items = {d.id: self._mempool.ended[d.id].item for d in slot.decisions if d.outcome == "abort"}
            causes = {d.id: self._slots.causes.get(d.id, slot.causes[d.id]) for d in slot.decisions}
            messages.append(commit_messages(slot, self._slots, causes, items)[chain_id])
        return messages

    async def _status(self) -> dict[str, Any]:
        superbatches = self._publisher.superbatches
        return {
            "term": self._sequencer.term,
            "slots": len(self._slots.slots),
            "waiting": len(self._mempool),
            "ended": len(self._mempool.ended),
            "superbatches": {
                "signed": len(superbatches),
                "published": self._publisher.counting,
            },
            "published_slots": self._publisher.published_slots,
            "rollups": {
                rollup.name: {"chain_id": rollup.chain_id, "state": rollup.state, "block": rollup.number}
                for rollup in self._rollups
            },
        }

    def _describe(self, key: str) -> dict[str, Any] | None:
        if key in self._mempool.waiting:
            return self._item(self._mempool.waiting[key], None)
        end = self._mempool.ended.get(key)
        return None if end is None else self._item(end.item, end)

    def _item(self, item: Item, end: End | None) -> dict[str, Any]:
        took_effect = end is not None and end.decision.outcome in ("commit", "include")
        legs = []
        for index, leg in enumerate(item.legs):
            block = end.blocks.get(leg.chain_id) if end is not None else None
            legs.append(
                {
                    "index": index,
                    "rollup": self._by_chain[leg.chain_id].name if leg.chain_id in self._by_chain else None,
                    "chainId": leg.chain_id,
                    "transactionHash": to_hex(leg.hash),
                    "from": to_hex(leg.sender),
                    "nonce": leg.nonce,
                    "blockNumber": block[0] if block and took_effect else None,
                    "blockHash": block[1] if block and took_effect else None,
                }
            )
        reason = None
        if end is not None and not took_effect:
            chain = end.decision.chain_id
            reason = {
                "leg": end.decision.leg,
                "rollup": self._by_chain[chain].name if chain in self._by_chain else None,
                "message": end.decision.reason,
                "data": end.decision.data,
            }
        return {
            "hash": item.id,
            "kind": item.kind,
            "status": "pending" if end is None else _STATUS[end.decision.outcome],
            "slot": None if end is None else end.slot,
            "maxTimestamp": item.max_timestamp,
            "legs": legs,
            "reason": reason,
        }


def _event(cause: Any) -> str | None:
    """The id of the client's own journal event: it goes into our journal, so it must look like one."""
    if cause is not None and not (
        isinstance(cause, str) and re.fullmatch(r"[\w.-]{1,64}/[0-9a-f]{1,32}/\d{1,20}", cause)
    ):
        raise RpcError(
            INVALID_PARAMS, f"the cause must be a journal event, node/boot/number, got {str(cause)[:60]}"
        )
    return cause


def _quantity(value: Any, name: str) -> int:
    try:
        if isinstance(value, bool | float):
            raise TypeError("not an integer")
        number = int(value, 16) if isinstance(value, str) and value.startswith("0x") else int(value)
    except (TypeError, ValueError) as exc:
        raise RpcError(
            INVALID_PARAMS, f"{name} must be an integer, got {orjson.dumps(value, default=str).decode()[:60]}"
        ) from exc
    if not 0 <= number < 1 << 64:
        raise RpcError(INVALID_PARAMS, f"{name} is out of range: {number}")
    return number
