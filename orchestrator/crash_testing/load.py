"""Users who send bundles and single transactions for as long as they are let, whatever happens to the nodes.

Each user has an account, sends one thing at a time and waits for its end. Who gets no answer sends the very same again: it may have been
acknowledged unheard, and must not count twice then.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from bridge.wire.bundle import decode_bundle
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction, sign_transaction
from orchestrator.chains import ChainHandle, ChainUnreachable, Refused
from orchestrator.crash_testing.judge import Item, Leg
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.topology.plan import Account

SINK = "0x" + "5e" * 20
FAILS = "0x" + "00" * 19 + "08"
"""The pairing precompile, which fails on input of seven bytes, on every rollup."""
AMOUNT = 10**12
"""Wei: the least that moves on every kind of rollup."""
GAS, MAX_FEE, TIP = 100_000, 100 * 10**9, 10**9
LIFETIME_S = 6
"""Of a bundle: whatever was acknowledged unheard has ended after that."""
AGAIN_S = 0.05
"""Between two tries while a node is away, seconds."""


@dataclass(slots=True)
class Load:
    """What users of one devnet did."""

    net: Devnet
    items: list[Item] = field(default_factory=list)
    """All that was signed and sent, in order."""
    serial: int = 0
    """Counts all that was ever signed on this devnet, so that no two legs are the same bytes."""
    stopped: asyncio.Event = field(default_factory=asyncio.Event)

    @contextlib.asynccontextmanager
    async def running(self, users: int = 3) -> AsyncIterator["Load"]:
        """Send until the block is left, and then until everything that was acknowledged has ended."""
        self.stopped = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for user in range(users):
                tasks.create_task(self._user(user))
            try:
                yield self
            finally:
                self.stopped.set()

    async def send_late(self, gap: int, lifetime_s: int = 1) -> Item:
        """A bundle that no slot can take, because of so many nonces before it that nobody sends: acknowledged, and expired soon."""
        account, chains = self.net.accounts[7], list(self.net.rollups.values())
        return await self.send(account, chains, [SINK] * len(chains), lifetime_s, gap)

    async def _user(self, index: int) -> None:
        account, names = self.net.accounts[index], list(self.net.rollups)
        while not self.stopped.is_set():
            turn = self.serial
            chains = [self.net.rollups[name] for name in names]
            targets = [SINK] * len(chains)
            if index == 1:
                chains, targets = [chains[turn % len(chains)]], [SINK]
            elif index == 2 and turn % 2:
                targets[-1] = FAILS
            try:
                item = await self.send(account, chains, targets, LIFETIME_S)
                await self._end_of(item)
            except RollnetError:
                await asyncio.sleep(AGAIN_S)

    async def send(
        self, account: Account, chains: list[ChainHandle], targets: list[str], lifetime_s: int, gap: int = 0
    ) -> Item:
        """Sign a transfer on each chain and send them, all together, until they are acknowledged.

        Args:
            account: who signs.
            chains: a leg on each.
            targets: who gets something there.
            lifetime_s: until the deadline of a bundle, seconds.
            gap: nonces left out before each leg's.

        Raises:
            RollnetError: it was refused, or the load was stopped while a node was away.
        """
        self.serial += 1
        legs = [
            await self._signed(account, chain, target, gap)
            for chain, target in zip(chains, targets, strict=True)
        ]
        raws, deadline = [raw for raw, _ in legs], int(time.time()) + lifetime_s
        salt = keccak256(b"".join(raws))
        digest = to_hex(decode_bundle(raws, deadline, salt).hash) if len(raws) > 1 else legs[0][1].digest
        place = len(self.items)
        doomed = FAILS in targets
        self.items.append(Item(digest, tuple(leg for _, leg in legs), False, doomed))
        while True:
            try:
                if len(raws) > 1:
                    await self.net.sequencer.send_bundle(raws, deadline, salt)
                else:
                    await chains[0].rpc("eth_sendRawTransaction", to_hex(raws[0]))
            except ChainUnreachable:
                await self._pause_or_stop()
            except Refused as exc:
                if "try again" not in exc.message and "does not answer" not in exc.message:
                    raise
                await self._pause_or_stop()
            else:
                break
        self.items[place] = Item(digest, self.items[place].legs, True, doomed)
        return self.items[place]

    async def _pause_or_stop(self) -> None:
        if self.stopped.is_set():
            raise ChainUnreachable("stopped while a node was away")
        await asyncio.sleep(AGAIN_S)

    async def _signed(self, account: Account, chain: ChainHandle, target: str, gap: int) -> tuple[bytes, Leg]:
        nonce = int(await chain.rpc("eth_getTransactionCount", account.address, "pending"), 16) + gap
        unsigned = UnsignedTransaction(
            chain_id=chain.chain_id,
            nonce=nonce,
            max_fee=MAX_FEE,
            priority_fee=TIP,
            gas=GAS,
            to=from_hex(target),
            data=self.serial.to_bytes(7, "big") if target == FAILS else b"",
            # what was aborted leaves its nonces to the next: the same bytes would be a leg of both
            value=0 if target == FAILS else self.serial * AMOUNT,
        )
        raw = sign_transaction(unsigned, account.private_key)
        return raw, Leg(chain.name, to_hex(keccak256(raw)), account.address.lower(), nonce)

    async def _end_of(self, item: Item) -> None:
        while not self.stopped.is_set():
            with contextlib.suppress(ChainUnreachable):
                status = await self.net.sequencer.rpc("rollnet_waitForEnd", item.id, 1.0)
                if status is None or status["status"] != "pending":
                    return
            await asyncio.sleep(AGAIN_S)
