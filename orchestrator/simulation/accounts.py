"""A rollup small enough to be executed thousands of times a second: accounts that pay one another, in signed transactions.

Calldata is a list of instructions of three bytes (operation, account, amount). Nothing mints but deposits, so value is conserved on every rollup,
and a bundle of opposite payments on two rollups leaves every account as rich as it was, over all rollups together, or it was torn.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import orjson

from bridge.wire.atomic import Status
from bridge.wire.deposits import DEPOSITOR, Deposit, decode_deposit
from bridge.wire.errors import RpcError
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction, address_of, sign_transaction
from bridge.wire.system import DEPOSITOR_PREFIX
from bridge.wire.testing import private_key
from bridge.wire.transaction import Transaction, decode_transaction
from rollup_node.engines.base import BlockInput, ExecutedBlock, Header, TransactionResult
from rollup_node.errors import EngineFailed

ACCOUNTS = 7
"""Users."""
ENDOWMENT = 100
"""What each has on each rollup at genesis."""
GAS_LIMIT = 3_000_000
BASE_FEE = 10**6
WEALTH = 10**24
"""Wei that everybody has for gas, whatever happens: fees are another matter's test."""


class Act(IntEnum):
    """What one instruction does."""

    PAY = 0
    """Pay the account; fail if the sender has less."""
    NEED = 1
    """Fail unless the account has as much."""


Instruction = tuple[Act, int, int]
"""Operation, account, amount."""


@cache
def address(account: int) -> bytes:
    """Of a user."""
    return address_of(private_key(account))


@lru_cache(maxsize=65_536)
def transfer(chain_id: int, account: int, nonce: int, program: tuple[Instruction, ...]) -> Transaction:
    """A signed transaction."""
    unsigned = UnsignedTransaction(
        chain_id=chain_id,
        nonce=nonce,
        max_fee=10**9,
        priority_fee=0,
        gas=60_000,
        to=b"\x22" * 20,
        data=b"".join(bytes(instruction) for instruction in program),
    )
    return decode_transaction(sign_transaction(unsigned, private_key(account)))


@lru_cache(maxsize=65_536)
def transaction_hash(raw: bytes) -> str:
    """0x-hex."""
    return to_hex(keccak256(raw))


@lru_cache(maxsize=16_384)
def user_deposit(raw: bytes) -> Deposit | None:
    """A user's deposit; None for what derivation itself puts into a block."""
    deposit = decode_deposit(raw)
    return None if deposit.sender == DEPOSITOR or deposit.sender[:18] == DEPOSITOR_PREFIX else deposit


@dataclass(frozen=True, slots=True)
class Made:
    """A block with the state after it."""

    header: Header
    included: tuple[tuple[str, Status], ...]
    """Hash and status of the users' transactions that are in it, in order."""
    balances: dict[bytes, int]
    nonces: dict[bytes, int]


@dataclass(slots=True)
class AccountEngine:
    """Implements :class:`rollup_node.engines.base.Engine` in memory."""

    chain_id: int
    blocks: list[Made] = field(default_factory=list)
    running: bool = False
    floor: int = 0
    """Number of the restored block."""

    async def start(self) -> Header:
        """See the protocol."""
        self.blocks, self.floor, self.running = [_genesis(self.chain_id)], 0, True
        return self.blocks[0].header

    async def stop(self) -> None:
        """See the protocol."""
        self.running = False

    async def head(self) -> Header:
        """See the protocol."""
        return self.blocks[-1].header

    async def header(self, number: int) -> Header | None:
        """See the protocol."""
        found = self.at(number)
        return found.header if found is not None else None

    def at(self, number: int) -> Made | None:
        """A block that is known."""
        place = number - self.blocks[0].header.number
        return self.blocks[place] if 0 <= place < len(self.blocks) else None

    async def execute(self, block: BlockInput) -> ExecutedBlock:
        """See the protocol."""
        parent = self.blocks[-1]
        if parent.header.hash != block.parent.hash:
            raise EngineFailed(
                f"{self.chain_id}: asked for a block on {block.parent.number}, stands at {parent.header.number}"
            )
        balances, nonces = dict(parent.balances), dict(parent.nonces)
        results = tuple(_run(balances, nonces, raw) for raw in block.transactions)
        users = zip(block.transactions, results, strict=True)
        included = tuple(
            (r.hash, r.status) for raw, r in users if raw[0] != 0x7E and r.status in ("success", "failed")
        )
        state = repr((sorted(balances.items()), sorted(nonces.items()))).encode()
        root = hashlib.blake2b(state, digest_size=32).hexdigest()
        system = [r.hash for raw, r in zip(block.transactions, results, strict=True) if raw[0] == 0x7E]
        content = repr((parent.header.hash, block.timestamp, block.base_fee, system, included, root)).encode()
        header = Header(
            parent.header.number + 1,
            "0x" + hashlib.blake2b(content, digest_size=32).hexdigest(),
            parent.header.hash,
            block.timestamp,
            block.base_fee,
            50_000 * len(included),
            GAS_LIMIT,
            "0x" + root,
        )
        self.blocks.append(Made(header, included, balances, nonces))
        return ExecutedBlock(header, results)

    async def rewind(self, number: int) -> None:
        """See the protocol."""
        place = number - self.blocks[0].header.number
        if not 0 <= place < len(self.blocks):
            raise EngineFailed(f"{self.chain_id}: no way back to {number}")
        del self.blocks[place + 1 :]

    async def explain(self, transaction: str) -> tuple[str, str]:  # noqa: ARG002 - all fail alike
        """See the protocol."""
        return "too little", "0x"

    async def checkpoint(self, path: Path) -> None:
        """See the protocol."""
        head = self.blocks[-1]
        state = [
            head.header,
            *({to_hex(key): value for key, value in each.items()} for each in (head.balances, head.nonces)),
        ]
        path.write_bytes(orjson.dumps(state))

    async def restore(self, path: Path) -> Header:
        """See the protocol."""
        try:
            header, balances, nonces = orjson.loads(path.read_bytes())
        except ValueError as exc:
            raise EngineFailed("no state") from exc
        states = [{from_hex(key): value for key, value in each.items()} for each in (balances, nonces)]
        self.blocks = [Made(Header(**header), (), *states)]
        self.floor = self.blocks[0].header.number
        return self.blocks[0].header

    async def learn(self, blocks: Mapping[int, Sequence[bytes]]) -> None:
        """See the protocol."""

    async def request(self, method: str, params: Sequence[Any]) -> Any:
        """See the protocol."""
        match method:
            case "eth_getTransactionCount":
                made = self.at(int(params[1], 16))
                if made is None:
                    raise RpcError(-32000, "no such block")
                return hex(made.nonces.get(from_hex(params[0]), 0))
            case "eth_getBalance":
                return hex(WEALTH)
        raise RpcError(-32601, f"no method {method}")


def _genesis(chain_id: int) -> Made:
    balances = {address(account): ENDOWMENT for account in range(ACCOUNTS)}
    digest = "0x" + hashlib.blake2b(b"genesis %d" % chain_id, digest_size=32).hexdigest()
    return Made(Header(0, digest, "0x" + "00" * 32, 0, BASE_FEE, 0, GAS_LIMIT, digest), (), balances, {})


def _run(balances: dict[bytes, int], nonces: dict[bytes, int], raw: bytes) -> TransactionResult:
    digest = transaction_hash(raw)
    if raw[0] == 0x7E:
        deposit = user_deposit(raw)
        if deposit is not None:
            nonces[deposit.sender] = nonces.get(deposit.sender, 0) + 1
            balances[deposit.sender] = balances.get(deposit.sender, 0) + deposit.mint
        return TransactionResult(digest, "success")
    sent = decode_transaction(raw)
    expected = nonces.get(sent.sender, 0)
    if sent.nonce != expected:
        return TransactionResult(digest, "gap" if sent.nonce > expected else "invalid", "nonce")
    nonces[sent.sender] = expected + 1
    changed = dict(balances)
    for place in range(0, len(sent.data), 3):
        act, account, amount = sent.data[place : place + 3]
        holder = address(account)
        if act == Act.NEED and changed.get(holder, 0) < amount:
            return TransactionResult(digest, "failed")
        if act == Act.PAY:
            if changed.get(sent.sender, 0) < amount:
                return TransactionResult(digest, "failed")
            changed[sent.sender] -= amount
            changed[holder] = changed.get(holder, 0) + amount
    balances.update(changed)
    return TransactionResult(digest, "success")
