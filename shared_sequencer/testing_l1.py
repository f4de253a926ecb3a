"""Stand-in for tests: an L1 in memory, with deposits, a batch inbox and a pool, that can go back and go on differently."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.wire.deposits import Deposit, encode_deposit, source_hash
from bridge.wire.derivation import Derivation, DerivedSlot, ForcedBlock, Member, Rules
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.l1 import BatchTransaction, L1Block, L1Info, Rewound
from bridge.wire.signing import address_of
from bridge.wire.slot import Payload
from bridge.wire.superbatch import BATCH_INBOX
from bridge.wire.testing import private_key
from bridge.wire.transaction import decode_transaction

BATCHER_KEY = private_key(1_000)
"""Of the account that publishes; it does nothing else."""
BATCHER = to_hex(address_of(BATCHER_KEY))
L1_CHAIN = 900
GENESIS_TIME = 500
"""Of the toy L1's first block, unix seconds: tests set their clocks a little later."""
DEPOSIT_GAS = 21_000


def portal(chain_id: int) -> str:
    """Address of a toy rollup's portal."""
    return f"0x{chain_id:040x}"


def toy_rules(chains: Iterable[int], window: int = 50) -> Rules:
    """What a toy sequencing set agreed on."""
    return Rules(tuple(Member(chain, portal(chain)) for chain in chains), BATCH_INBOX, BATCHER, window)


@dataclass(frozen=True, slots=True)
class Sealed:
    """One toy L1 block with the transactions that its pool gave it."""

    block: L1Block
    raws: tuple[bytes, ...]


class ToyL1(Client):
    """An L1 node as its client sees it. No two blocks have one hash, on whatever branch they are.

    ``failures`` says what the next calls lose: the request (``before``) or the answer (``after``).
    """

    def __init__(self, genesis_time: int = GENESIS_TIME) -> None:
        self.sealed: list[Sealed] = []
        self.pool: dict[tuple[str, int], bytes] = {}
        """By sender and nonce."""
        self.sent: list[bytes] = []
        """Everything that came by ``eth_sendRawTransaction``."""
        self.failures: list[str] = []
        self._made = 0
        self.left: list[Sealed] = []
        """The chain before the last reorganisation."""
        self._seal(genesis_time, {}, ())
        self.left = list(self.sealed)

    @property
    def blocks(self) -> list[L1Block]:
        """The present chain, genesis first."""
        return [sealed.block for sealed in self.sealed]

    @property
    def mined(self) -> list[bytes]:
        """Every transaction of the present chain that came through the pool, in order."""
        return [raw for sealed in self.sealed for raw in sealed.raws]

    def mine(
        self,
        deposits: Mapping[int, Sequence[int]] | None = None,
        batches: Sequence[BatchTransaction] = (),
        *,
        timestamp: int | None = None,
    ) -> L1Block:
        """One more block: what follows from the pool, then ``batches``.

        Args:
            deposits: test accounts that deposit to themselves, by chain id.
            batches: transactions of strangers to the inbox.
            timestamp: unix seconds; one second after the parent by default.
        """
        time = self.sealed[-1].block.info.timestamp + 1 if timestamp is None else timestamp
        return self._seal(time, deposits or {}, batches)

    def go_back(self, depth: int, *, keep: bool = False) -> None:
        """Lose blocks (never the genesis block), and what the pool holds, unless ``keep``: then lost transactions return to it."""
        self.left = list(self.sealed)
        lost = self.sealed[max(1, len(self.sealed) - depth) :]
        del self.sealed[len(self.sealed) - len(lost) :]
        if not keep:
            self.pool.clear()
            return
        for sealed in lost:
            for raw in sealed.raws:
                sent = decode_transaction(raw)
                self.pool[to_hex(sent.sender), sent.nonce] = raw

    def come_back(self) -> None:
        """The branch that the last reorganisation left is the chain again, and the present one is left."""
        self.sealed, self.left = self.left, self.sealed
        self.pool.clear()

    async def call(self, method: str, *params: Any, deadline: float | None = None) -> Any:  # noqa: ARG002 - the client's own
        """Answer, or lose the request or the answer."""
        failure = self.failures.pop(0) if self.failures else ""
        if failure == "before":
            raise PeerUnreachable("lost on the way there")
        answer = getattr(self, method)(*params)
        if failure == "after":
            raise PeerUnreachable("lost on the way back")
        await asyncio.sleep(0)
        return answer

    def eth_blockNumber(self) -> str:  # noqa: N802 - the method's own name and shape
        """Of the head."""
        return hex(len(self.sealed) - 1)

    def eth_getBlockByNumber(self, tag: str, full: bool) -> Any:  # noqa: N802 - as above
        """The head."""
        assert (tag, full) == ("latest", False)
        return {"baseFeePerGas": hex(10**9)}

    def eth_getTransactionCount(self, address: str, tag: str) -> str:  # noqa: N802 - as above
        """Of the present chain."""
        assert tag == "latest"
        return hex(self._nonce(address))

    def eth_sendRawTransaction(self, raw: str) -> str:  # noqa: N802 - as above
        """Into the pool, as anvil does it."""
        sent = decode_transaction(from_hex(raw))
        self.sent.append(sent.raw)
        place = (to_hex(sent.sender), sent.nonce)
        if sent.nonce < self._nonce(place[0]):
            raise RpcError(-32003, "nonce too low")
        if place in self.pool:
            same = self.pool[place] == sent.raw
            raise RpcError(-32003, "already imported" if same else "replacement transaction underpriced")
        self.pool[place] = sent.raw
        return to_hex(sent.hash)

    def eth_getTransactionReceipt(self, digest: str) -> Any:  # noqa: N802 - as above
        """Where it is, and what it cost."""
        for number, sealed in enumerate(self.sealed):
            if digest in [to_hex(keccak256(raw)) for raw in sealed.raws]:
                return {"blockNumber": hex(number), "gasUsed": hex(21_000), "effectiveGasPrice": hex(2)}
        return None

    def _nonce(self, address: str) -> int:
        return sum(1 for raw in self.mined if to_hex(decode_transaction(raw).sender) == address)

    def _seal(
        self, time: int, deposits: Mapping[int, Sequence[int]], batches: Sequence[BatchTransaction]
    ) -> L1Block:
        number, parent = (
            len(self.sealed),
            self.sealed[-1].block.info.hash if self.sealed else "0x" + "00" * 32,
        )
        digest = to_hex(keccak256(b"toy L1 %d %d %s" % (number, self._made, parent.encode())))
        self._made += 1
        raws = tuple(self._pooled())
        block = L1Block(
            L1Info(number, digest, parent, time, 10**9, 1),
            _deposits(digest, deposits),
            (*(as_batch(raw) for raw in raws), *batches),
        )
        self.sealed.append(Sealed(block, raws))
        return block

    def _pooled(self) -> Iterable[bytes]:
        for sender in sorted({sender for sender, _ in self.pool}):
            nonce = self._nonce(sender)
            while (sender, nonce) in self.pool:
                yield self.pool.pop((sender, nonce))
                nonce += 1


def as_batch(raw: bytes) -> BatchTransaction:
    """How a follower reads a transaction to the inbox."""
    sent = decode_transaction(raw)
    return BatchTransaction(to_hex(sent.hash), to_hex(sent.sender), to_hex(sent.to or b""), sent.data)


def _deposits(digest: str, deposits: Mapping[int, Sequence[int]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    index = 0
    for chain, accounts in deposits.items():
        raws: list[str] = []
        for account in accounts:
            sender = address_of(private_key(account))
            deposit = Deposit(
                source_hash(0, digest, index), sender, sender, 1, 1, DEPOSIT_GAS, is_system=False, data=b""
            )
            raws.append(to_hex(encode_deposit(deposit)))
            index += 1
        found[portal(chain)] = tuple(raws)
    return found


class ToyFollower:
    """Tells what is new on a toy L1, as ``L1Follower`` does; ends once there is nothing more to tell."""

    def __init__(self, l1: ToyL1) -> None:
        self._l1 = l1
        self._told: list[str] = []
        self.finalized = 0
        """On a toy L1 only the genesis block is final."""

    async def changes(self) -> AsyncIterator[L1Block | Rewound]:
        """Blocks in order, and returns to earlier ones; L1 may change between any two."""
        while True:
            present = [block.info.hash for block in self._l1.blocks]
            pairs = zip(self._told, present, strict=False)
            common = next((n for n, (told, now) in enumerate(pairs) if told != now), None)
            if common is None and len(self._told) == len(present):
                return
            if common is None and len(self._told) < len(present):
                block = self._l1.blocks[len(self._told)]
                self._told.append(block.info.hash)
                yield block
                continue
            kept = len(present) if common is None else common
            del self._told[kept:]
            yield Rewound(kept - 1)


def derive(rules: Rules, blocks: Iterable[L1Block]) -> Derivation:
    """A fresh derivation of a chain of L1 blocks."""
    derivation = Derivation(rules)
    for block in blocks:
        derivation.add(block)
    return derivation


class DerivedChain:
    """What L1 says of a set's rollups, kept up as L1 grows and is reorganised."""

    def __init__(self, rules: Rules) -> None:
        self._derivation = Derivation(rules)
        self._hashes: list[str] = []
        self._blocks: list[list[tuple[int, Payload]]] = []

    def read(self, l1: Sequence[L1Block]) -> list[tuple[int, Payload]]:
        """Chain id and payload of every block that follows from these L1 blocks, in order."""
        pairs = zip(self._hashes, l1, strict=False)
        common = sum(1 for told, now in pairs if told == now.info.hash)
        self._derivation.rewind(common - 1)
        del self._hashes[common:], self._blocks[common:]
        for block in l1[common:]:
            found: list[tuple[int, Payload]] = []
            for event in self._derivation.add(block):
                if isinstance(event, ForcedBlock):
                    found.append((event.chain_id, event.payload))
                elif isinstance(event, DerivedSlot):
                    found += [(derived.chain_id, derived.payload) for derived in event.slot.blocks]
            self._hashes.append(block.info.hash)
            self._blocks.append(found)
        return [each for found in self._blocks for each in found]
