"""Looking after what an account sent, until L1 has it for good.

::

    each new head:  nonces that L1 took ─► receipts ─► final? ─► let go
                    nonces that it didn't, or took back ─► in its pool? ── no ─► would it still succeed? ─► the same bytes again
                                                                │                        └─ no, for long ─► cancel
                                                                └─ yes, but too cheap ─► other bytes
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from bridge.l1.account_store import Purpose, Receipt
from bridge.l1.errors import Unaffordable, WouldRevert
from bridge.l1.nonces import CANCEL_GAS, Nonces, OpenNonce, latest_block
from bridge.l1.offers import first_offer
from bridge.l1.simulation import tried
from bridge.l1.trouble import Trouble
from bridge.wire.crash_points import crash_point
from bridge.wire.errors import Malformed, PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex

FOREIGN_S = 5.0
"""How long L1 may lack the receipt of a nonce that it has taken, seconds; then it took something that is not ours."""
REMIND_S = 30.0
"""Seconds after which a transaction is sent again although it is known: who knows it, a rollup's node for one, need not be who mines."""
WINDOW = 100
"""Nonces that are pushed at once."""

log = structlog.get_logger()


class Upkeep:
    """Looks after the nonces of one account.

    Args:
        client: the L1 node.
        nonces: the account's.
        poll_s: seconds between two looks at L1's head.
        patience_s: how long a lost transaction that would revert may keep its nonce from others, seconds.
    """

    def __init__(self, client: Client, nonces: Nonces, poll_s: float, patience_s: float) -> None:
        self._client, self._nonces, self._poll_s, self._patience_s = client, nonces, poll_s, patience_s
        self._seen = ""
        """Hash of the head at which everything was looked after."""
        self._trouble = Trouble("account.waits", "account.goes_on", address=nonces.address)

    async def run(self) -> None:
        """Look after them for ever; L1 may come and go.

        Raises:
            sqlite3.Error: the disk doesn't take what has to be remembered.
        """
        while True:
            try:
                await self._round()
                self._trouble.say("")
            except (PeerUnreachable, RpcError, Malformed) as exc:
                self._nonces.restless = True
                self._trouble.say(str(exc))
            await asyncio.sleep(self._poll_s)

    async def _round(self) -> None:
        count_hex, found = await answers(
            self._client,
            ("eth_getTransactionCount", [self._nonces.address, "latest"]),
            ("eth_getBlockByNumber", ["latest", False]),
        )
        latest = latest_block(found)
        if latest["hash"] == self._seen and not self._nonces.restless:
            return
        self._nonces.restless = False
        count, base_fee = int(count_hex, 16), int(latest["baseFeePerGas"], 16)
        await self._take_back(count, base_fee)
        entries = [self._nonces.open[nonce] for nonce in sorted(self._nonces.open)]
        taken = [entry for entry in entries if entry.purpose.nonce < count]
        await self._collect(taken, int(latest["number"], 16))
        waiting = [entry for entry in entries if entry.purpose.nonce >= count]
        for entry in waiting:
            entry.unmined()
        await self._push(waiting[:WINDOW], base_fee)
        await self._settle(taken)
        self._seen = latest["hash"]

    async def _take_back(self, count: int, base_fee: int) -> None:
        """L1 lost what was final (restarted from an older state, or reorganised deeper than it promised), or never ours."""
        missing = [nonce for nonce in range(count, self._nonces.next) if nonce not in self._nonces.open]
        if not missing:
            return
        log.warning("account.taken_back", address=self._nonces.address, nonce=missing[0])
        await self._nonces.reopen(count)
        own = from_hex(self._nonces.address, 20)
        for nonce in missing:
            if nonce not in self._nonces.open:  # somebody else used it before; ours behind it wait for it
                purpose = Purpose(nonce, f"fill/{nonce}", own, b"", 0, CANCEL_GAS)
                await self._nonces.assign(purpose, first_offer(base_fee), cancels=True)

    async def _collect(self, taken: Sequence[OpenNonce], head: int) -> None:
        """Read what became of nonces that L1 has taken."""
        wanted = [(entry, attempt.hash) for entry in taken for attempt in entry.attempts]
        found = await answers(
            self._client, *(("eth_getTransactionReceipt", [digest]) for _, digest in wanted)
        )
        receipts = {id(entry): answer for (entry, _), answer in zip(wanted, found, strict=True) if answer}
        for entry in taken:
            if id(entry) in receipts:
                crash_point("account.mined")
                entry.mined(_receipt(receipts[id(entry)]))
            elif entry.receipt is not None and not entry.receipt.hash:
                continue
            elif entry.troubled(FOREIGN_S):
                log.error("account.foreign", address=self._nonces.address, nonce=entry.purpose.nonce)
                entry.mined(Receipt("", head, "", success=False, gas_used=0, wei=0, logs=()))

    async def _push(self, waiting: Sequence[OpenNonce], base_fee: int) -> None:
        """See to it that L1's pool has each of them, at a price that it takes."""
        wanted = [attempt.hash for entry in waiting for attempt in entry.attempts]
        found = await answers(self._client, *(("eth_getTransactionByHash", [digest]) for digest in wanted))
        pooled = {digest for digest, answer in zip(wanted, found, strict=True) if answer}
        for entry in waiting:
            there = [(digest, offer) for digest, offer in entry.offers.items() if digest in pooled]
            if not there:
                await self._resend(entry, base_fee)
                continue
            entry.troubled_since = None
            if not any(offer.covers(base_fee) for _, offer in there):
                if there[-1][0] == entry.last.hash:
                    await self._nonces.sign_again(entry, base_fee, cancels=entry.last.cancels)
                await self._transmit(entry, base_fee)
            elif time.monotonic() - entry.sent_at > REMIND_S:
                await self._transmit(entry, base_fee)

    async def _resend(self, entry: OpenNonce, base_fee: int) -> None:
        """It isn't in the pool: never sent, lost, or back from a block that is gone."""
        purpose, address = entry.purpose, self._nonces.address
        log.info("account.resends", address=address, nonce=purpose.nonce, key=purpose.key)
        if not entry.last.cancels:
            if self._nonces.superseded(entry):
                await self._cancel(entry, base_fee, "it failed once, and was sent again since")
                return
            try:
                await tried(self._client, address, purpose.to, purpose.data, purpose.value, purpose.gas)
            except (WouldRevert, Unaffordable) as exc:
                await self._bear(entry, base_fee, str(exc))
                return
        await self._transmit(entry, base_fee)

    async def _transmit(self, entry: OpenNonce, base_fee: int) -> None:
        refusal = await self._nonces.transmit(entry)
        if refusal:
            nonce = entry.purpose.nonce
            log.warning("account.refused", address=self._nonces.address, nonce=nonce, reason=refusal)
            await self._bear(entry, base_fee, refusal)

    async def _bear(self, entry: OpenNonce, base_fee: int, why: str) -> None:
        """L1 doesn't want it: wait for a while, then give its nonce up."""
        if not entry.last.cancels and entry.troubled(self._patience_s):
            await self._cancel(entry, base_fee, why)

    async def _cancel(self, entry: OpenNonce, base_fee: int, why: str) -> None:
        log.warning("account.cancels", address=self._nonces.address, nonce=entry.purpose.nonce, reason=why)
        await self._nonces.sign_again(entry, base_fee, cancels=True)
        await self._transmit(entry, base_fee)

    async def _settle(self, taken: Sequence[OpenNonce]) -> None:
        """Let go of what is final."""
        try:
            block = await self._client.call("eth_getBlockByNumber", "finalized", False)
        except RpcError:
            return  # L1 has nothing final yet
        finalized = int(block["number"], 16) if block else -1
        receipts = [(entry.purpose.nonce, entry.receipt) for entry in taken]
        await self._nonces.settle(
            (nonce, receipt) for nonce, receipt in receipts if receipt and receipt.block_number <= finalized
        )


async def answers(client: Client, *calls: tuple[str, list[Any]]) -> list[Any]:
    """Results of many calls.

    Raises:
        RpcError: one of them is refused.
        PeerUnreachable: no answer.
    """
    found = await client.batch(calls) if calls else []
    for answer in found:
        if isinstance(answer, RpcError):
            raise answer
    return found


def _receipt(answer: Mapping[str, Any]) -> Receipt:
    gas = int(answer["gasUsed"], 16)
    return Receipt(
        hash=answer["transactionHash"],
        block_number=int(answer["blockNumber"], 16),
        block_hash=answer["blockHash"],
        success=answer["status"] == "0x1",
        gas_used=gas,
        wei=gas * int(answer["effectiveGasPrice"], 16),
        logs=tuple(answer["logs"]),
    )
