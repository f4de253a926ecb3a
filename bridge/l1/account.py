"""One key's account on a chain: does every transaction once, whatever happens to the chain, to the connection or to the process.

The chain is L1 here, and may as well be a rollup behind its public RPC: its sequencer's queue is then what L1's pool is.

The problem: a nonce is spent by whatever is mined under it first, signed bytes that were sent once can come back at any time, and a
process can die between any two steps. The choice: a nonce gets its purpose and its signed bytes on disk *before* they are sent, and
keeps them. From then on the account has one aim for this nonce: to see one of its bytes mined.

::

    send(key) ─► tried on L1 ─► nonce, bytes: on disk ─► in L1's pool ─► mined ─► final
                     │                  ▲                   │ │ lost, or reorganised away: the same bytes again
                  refused               └── other bytes ◄───┘ base fee above the offer; or it would revert by now

A caller names its intention by a key. While that is under way, and for ever after it succeeded, sending under the same key is only waiting
for it; once it failed, it may be tried again. A transaction that was lost and would revert by now gives way to one that does nothing, for
its nonce must not block those behind it. Rejected: asking the pool for the next nonce (a restart pays twice), and one transaction at
a time (one per L1 block).
"""

import asyncio

from bridge.contracts.codec import Interface
from bridge.l1.account_store import AccountStore, Purpose, Receipt
from bridge.l1.errors import Displaced, Reverted, Unaffordable
from bridge.l1.nonces import Nonces, OpenNonce, fulfils, latest_block
from bridge.l1.offers import first_offer
from bridge.l1.simulation import MARGIN, PLAIN, gas_for, tried, why_failed
from bridge.l1.upkeep import Upkeep, answers
from bridge.wire.crash_points import crash_point
from bridge.wire.errors import PeerUnreachable
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex

POLL_S = 0.2
"""Seconds between two looks at L1's head."""
PATIENCE_S = 5.0
"""How long a lost transaction that would revert may keep its nonce from others, seconds."""


class L1Account:
    """Sends transactions of one key; nobody else may send with it. :meth:`run` must run beside the callers.

    Args:
        client: the L1 node.
        chain_id: of L1.
        private_key: hexadecimal.
        store: the account's file; the caller closes it.
        poll_s: seconds between two looks at L1's head.
        patience_s: see :data:`PATIENCE_S`.
    """

    def __init__(
        self,
        client: Client,
        chain_id: int,
        private_key: str,
        store: AccountStore,
        *,
        poll_s: float = POLL_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._client = client
        self._nonces = Nonces(client, chain_id, private_key, store)
        self._upkeep = Upkeep(client, self._nonces, poll_s, patience_s)
        self._assigning = asyncio.Lock()
        self.address = store.address
        """0x-hex, lower case."""

    @property
    def waiting(self) -> int:
        """How many transactions are under way."""
        return sum(entry.receipt is None for entry in self._nonces.open.values())

    async def run(self) -> None:
        """Look after what was sent, for ever; L1 may come and go.

        Raises:
            sqlite3.Error: the disk doesn't take what has to be remembered.
        """
        await self._upkeep.run()

    async def send(
        self,
        key: str,
        to: str,
        data: bytes,
        *,
        value: int = 0,
        gas: int | None = None,
        interface: Interface = PLAIN,
    ) -> Receipt:
        """Do a transaction, once per key, and wait until it is mined.

        Should L1 be reorganised afterwards, the account sends it again by itself; who wants to know asks again.

        Args:
            key: names the intention. What is under way or done under it counts, whatever the other arguments say.
            to: address.
            data: call data.
            value: wei.
            gas: gas limit; ``None`` takes L1's estimate and a margin.
            interface: of the contract, to say why it reverts.

        Raises:
            WouldRevert: nothing was sent, for it would revert.
            Unaffordable: nothing was sent, the account can't pay.
            Reverted: it was mined and reverted; the key is free again.
            Displaced: it was lost and gave way to another; the key is free again.
            RpcError: L1 refused to say whether it would succeed; nothing was sent.
            PeerUnreachable: the same, without an answer.
        """
        entry = await self._nonces.under(key)
        if entry is None:
            target = from_hex(to, 20)
            limit = await self._try(target, data, value, gas, interface)
            # Whole or not at all: a caller that gives up in between must not leave a nonce half assigned.
            entering = asyncio.ensure_future(self._enter(key, target, data, value, limit))
            entering.add_done_callback(_heard)
            entry = await asyncio.shield(entering)
        if isinstance(entry, Receipt):
            return entry
        receipt = await asyncio.shield(entry.outcome)
        if fulfils(receipt, entry.attempts):
            return receipt
        if receipt.hash in {attempt.hash for attempt in entry.attempts if not attempt.cancels}:
            why = await why_failed(self._client, receipt.hash, interface)
            raise Reverted(f"{key}: transaction {receipt.hash} in L1 block {receipt.block_number}: {why}")
        raise Displaced(f"{key}: nonce {entry.purpose.nonce} of {self.address} went to something else")

    async def receipt(self, key: str) -> Receipt | None:
        """What was mined for a key and succeeded; None if nothing was, or not yet."""
        entry = await self._nonces.under(key)
        return entry.receipt if isinstance(entry, OpenNonce) else entry

    async def paid(self, digest: str) -> Receipt | None:
        """What a transaction did and cost; None if it was none of this account's, or isn't mined."""
        return await self._nonces.done_by(digest)

    async def _try(self, to: bytes, data: bytes, value: int, gas: int | None, interface: Interface) -> int:
        """Its gas limit, if it would succeed."""
        if gas is not None:
            await tried(self._client, self.address, to, data, value, gas, interface=interface)
            return gas
        estimate = await gas_for(self._client, self.address, to, data, value, interface=interface)
        block = latest_block(await self._client.call("eth_getBlockByNumber", "latest", False))
        return max(estimate, min(int(estimate * MARGIN), int(block["gasLimit"], 16)))

    async def _enter(self, key: str, to: bytes, data: bytes, value: int, gas: int) -> OpenNonce | Receipt:
        """Give it a nonce, for good, and send it; unless another caller was faster."""
        async with self._assigning:
            entry = await self._nonces.under(key)
            if entry is not None:
                return entry
            count, balance, block = await answers(
                self._client,
                ("eth_getTransactionCount", [self.address, "latest"]),
                ("eth_getBalance", [self.address, "pending"]),
                ("eth_getBlockByNumber", ["latest", False]),
            )
            offer = first_offer(int(latest_block(block)["baseFeePerGas"], 16))
            has, needs = int(balance, 16), value + gas * offer.max_fee
            if has < needs:
                raise Unaffordable(f"{self.address} has {has} wei and needs {needs}; send it ether")
            nonce = max(int(count, 16), self._nonces.next)
            crash_point("account.tried")
            entry = await self._nonces.assign(Purpose(nonce, key, to, data, value, gas), offer)
            try:
                refused = await self._nonces.transmit(entry)
            except PeerUnreachable:
                refused = "no answer"
            if refused:
                self._nonces.restless = True  # it may or may not have arrived: the next round looks
        return entry


def _heard(entering: asyncio.Future[OpenNonce | Receipt]) -> None:
    """Nobody else hears what became of it if its caller was cancelled, as all are when the node stops and its store closes."""
    if not entering.cancelled():
        entering.exception()
