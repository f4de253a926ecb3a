"""The nonces of one account that L1 has not finally taken: what each is for, which bytes were signed for it, what became of it.

A nonce gets its purpose once and for good, on disk before anything is sent. Bytes can be signed for it again: at a higher price, or to
do nothing but use it up (*cancel*). Whichever L1 mines decides.

The disk is written in a thread: an fsync takes milliseconds, and rollup nodes, which send with this too, have slots to keep.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog

from bridge.l1.account_store import AccountStore, Attempt, Purpose, Receipt, Stored
from bridge.l1.offers import Offer, raised
from bridge.wire.crash_points import crash_point
from bridge.wire.errors import LIMIT_EXCEEDED, RESOURCE_UNAVAILABLE, PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction, sign_transaction

CANCEL_GAS = 21_000
"""Gas of a transaction that does nothing."""

_KNOWN = ("already", "nonce too low", "is taken by")
"""Words of refusals that say that there is one of ours under the nonce: a rollup's sequencer replaces nothing that waits."""
_LATER = (RESOURCE_UNAVAILABLE, LIMIT_EXCEEDED)
"""Codes of refusals that are about the moment, not about the transaction."""
_TOO_EARLY = ("nonce too high",)
"""Words of refusals of what has too many before it; those come first."""
_TOO_CHEAP = ("underpriced", "base fee", "fee cap", "feecap")
T = TypeVar("T")

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class OpenNonce:
    """One nonce."""

    purpose: Purpose
    attempts: list[Attempt]
    """What was signed, oldest first."""
    outcome: asyncio.Future[Receipt] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    """What L1 made of it; a new one when L1 takes that back."""
    troubled_since: float | None = None
    """When L1 began to refuse it, or to lack its receipt; monotonic seconds."""
    sent_at: float = field(default_factory=time.monotonic)
    """When it was last sent, or found; monotonic seconds."""

    @property
    def receipt(self) -> Receipt | None:
        """What L1 made of it, if it did."""
        return self.outcome.result() if self.outcome.done() else None

    @property
    def last(self) -> Attempt:
        """What is to be mined now."""
        return self.attempts[-1]

    @property
    def offers(self) -> dict[str, Offer]:
        """Prices by transaction hash."""
        return {each.hash: Offer(each.max_fee, each.priority_fee) for each in self.attempts}

    @property
    def alive(self) -> bool:
        """Whether its purpose is fulfilled or may still be."""
        return self.receipt is None or fulfils(self.receipt, self.attempts)

    def mined(self, receipt: Receipt) -> None:
        """L1 took it."""
        if self.receipt != receipt:
            self.unmined()
            self.outcome.set_result(receipt)
        self.troubled_since = None

    def unmined(self) -> None:
        """L1 took it back."""
        if self.outcome.done():
            self.outcome = asyncio.get_running_loop().create_future()

    def troubled(self, longest: float) -> bool:
        """Note a trouble; True once it has lasted."""
        now = time.monotonic()
        if self.troubled_since is None:
            self.troubled_since = now
        return now - self.troubled_since >= longest


class Nonces:
    """The open nonces of one account, in memory as on disk.

    Args:
        client: the L1 node.
        chain_id: of L1.
        private_key: hexadecimal.
        store: the account's file.
    """

    def __init__(self, client: Client, chain_id: int, private_key: str, store: AccountStore) -> None:
        self._client, self._chain_id, self._key, self._store = client, chain_id, private_key, store
        self.address = store.address
        self.open = {stored.purpose.nonce: _opened(stored) for stored in store.pending()}
        self.next = store.next_nonce()
        """The lowest that never had a purpose."""
        self.restless = True
        """Whether there is something to look after though L1 did not move."""
        self._disk = asyncio.Lock()

    async def under(self, key: str) -> OpenNonce | Receipt | None:
        """What is under way for a key, or the success that it led to; None if it is free."""
        found = [each for each in self.open.values() if each.purpose.key == key and each.alive]
        if found:
            return max(found, key=lambda each: each.purpose.nonce)
        for stored in await self._write(self._store.find, key):
            if stored.receipt is not None and fulfils(stored.receipt, stored.attempts):
                return stored.receipt
        return None

    async def done_by(self, digest: str) -> Receipt | None:
        """What a transaction did, if it was one of ours and was mined."""
        for each in self.open.values():
            if each.receipt is not None and each.receipt.hash == digest:
                return each.receipt
        return await self._write(self._store.settled_by, digest)

    def superseded(self, entry: OpenNonce) -> bool:
        """Whether its key has gone on to a later nonce."""
        key, nonce = entry.purpose.key, entry.purpose.nonce
        return any(
            other.purpose.key == key and other.purpose.nonce > nonce and other.alive
            for other in self.open.values()
        )

    async def assign(self, purpose: Purpose, offer: Offer, *, cancels: bool = False) -> OpenNonce:
        """Give a nonce its purpose; once this returns it is on disk."""
        attempt = self._signed(purpose, offer, cancels=cancels)
        await self._write(self._store.add, purpose, attempt)
        crash_point("account.assigned")
        self.next = max(self.next, purpose.nonce + 1)
        entry = self.open[purpose.nonce] = OpenNonce(purpose, [attempt])
        return entry

    async def sign_again(self, entry: OpenNonce, base_fee: int, *, cancels: bool) -> None:
        """Sign other bytes at a price that replaces the last; once this returns they are on disk."""
        offer = raised(entry.offers[entry.last.hash], base_fee)
        attempt = self._signed(entry.purpose, offer, cancels=cancels)
        await self._write(self._store.add_attempt, entry.purpose.nonce, attempt)
        crash_point("account.resigned")
        entry.attempts.append(attempt)
        log.info("account.raised", address=self.address, nonce=entry.purpose.nonce, max_fee=attempt.max_fee)

    async def transmit(self, entry: OpenNonce) -> str:
        """Send the last bytes; gives the reason if L1 refuses them for what they are.

        Raises:
            PeerUnreachable: no answer; they may or may not have arrived.
        """
        entry.sent_at = time.monotonic()
        crash_point("account.sending")
        try:
            await self._client.call("eth_sendRawTransaction", to_hex(entry.last.raw))
            crash_point("account.sent")
        except RpcError as exc:
            said = exc.message.lower()
            if any(words in said for words in _KNOWN):
                return ""
            if exc.code in _LATER or any(words in said for words in _TOO_EARLY):
                self.restless = True
                return ""
            if any(words in said for words in _TOO_CHEAP):
                block = latest_block(await self._client.call("eth_getBlockByNumber", "latest", False))
                base_fee = int(block["baseFeePerGas"], 16)
                await self.sign_again(entry, base_fee, cancels=entry.last.cancels)
                self.restless = True  # sent in the next round
                return ""
            return str(exc)
        entry.troubled_since = None
        return ""

    async def reopen(self, nonce: int) -> bool:
        """Take back, from a nonce on, what was final and isn't any more; False if there was nothing of ours."""
        stored = await self._write(self._store.reopen, nonce)
        crash_point("account.reopened")
        for each in stored:
            self.open.setdefault(each.purpose.nonce, _opened(each))
        return bool(stored)

    async def settle(self, done: Iterable[tuple[int, Receipt]]) -> None:
        """Let go of nonces that are final."""
        receipts = list(done)
        if receipts:
            await self._write(self._store.settle, receipts)
            crash_point("account.settled")
            for nonce, _ in receipts:
                del self.open[nonce]

    def _signed(self, purpose: Purpose, offer: Offer, *, cancels: bool) -> Attempt:
        raw = sign_transaction(
            UnsignedTransaction(
                chain_id=self._chain_id,
                nonce=purpose.nonce,
                max_fee=offer.max_fee,
                priority_fee=offer.priority_fee,
                gas=CANCEL_GAS if cancels else purpose.gas,
                to=from_hex(self.address) if cancels else purpose.to,
                data=b"" if cancels else purpose.data,
                value=0 if cancels else purpose.value,
            ),
            self._key,
        )
        return Attempt(to_hex(keccak256(raw)), raw, offer.max_fee, offer.priority_fee, cancels)

    async def _write(self, action: Callable[..., T], *arguments: Any) -> T:
        async def in_turn() -> T:
            async with self._disk:
                return await asyncio.to_thread(action, *arguments)

        # a caller that gives up must not leave the next one writing beside the thread
        return await asyncio.shield(in_turn())


def latest_block(answer: Any) -> Mapping[str, Any]:
    """What ``eth_getBlockByNumber`` says of ``latest``.

    Raises:
        PeerUnreachable: nothing: in the middle of a reorganisation a node may lack the very block that it calls its latest.
    """
    if answer is None:
        raise PeerUnreachable("the node has no latest block at this moment: it is being reorganised")
    found: Mapping[str, Any] = answer
    return found


def fulfils(receipt: Receipt, attempts: Iterable[Attempt]) -> bool:
    """Whether a receipt is that of a success that was meant."""
    return receipt.success and any(each.hash == receipt.hash and not each.cancels for each in attempts)


def _opened(stored: Stored) -> OpenNonce:
    return OpenNonce(stored.purpose, list(stored.attempts))
