"""How a block's transactions go into anvil's pool, so that the block holds what derivation says.

anvil's pool knows a pending transaction by sender and nonce. A raw deposit always says nonce 0, so a second one of the same sender
looks like an underpriced replacement; and a signed transaction that follows a deposit of its own sender waits for a nonce that
the pool never saw. A deposit that is handed in as an unsigned transaction request of an impersonated sender may name a nonce for the
pool to go by; what lands in the block is the same deposit with the same hash. Only the receipt lies under another name
(the pool's own hash): ``aliases`` translates.

A signed transaction whose nonce the deposits before it use up is not handed in at all: with the higher fee it would replace one
of them in the pool, and a deposit cannot be replaced. Nothing here trusts what a batch holds: what cannot be a transaction, or
is there twice, is refused with a reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bridge.wire.deposits import DEPOSIT_TYPE, Deposit, decode_deposit
from bridge.wire.errors import Malformed, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import to_hex
from bridge.wire.system import DEPOSITOR_PREFIX
from bridge.wire.transaction import Transaction, decode_transaction

Call = tuple[str, list[Any]]

MAX_MINT = 1 << 128
"""anvil's deposits mint less than this many wei; there is no such amount, except where a test L1 was told to make it."""
_SIGNED_TYPES = frozenset({0x01, 0x02, 0x04})
"""Transaction types that a rollup executes, beside deposits and legacy transactions."""


@dataclass(frozen=True, slots=True)
class Submission:
    """What to call for a block."""

    calls: tuple[Call, ...]
    """In order."""
    answers: Mapping[int, int]
    """Where the answer about a transaction is among the calls, by its index in the block."""
    refused: Mapping[int, str]
    """Why a transaction is not handed in, by its index."""
    renamed: bool
    """Whether some deposits go in as requests, so that their receipts have other names."""


async def submission(client: Client, transactions: Sequence[bytes]) -> Submission:
    """The calls that hand a block's transactions to the pool; deposits come first in it.

    Raises:
        RpcError: the engine refuses to say a nonce.
        PeerUnreachable: the engine is gone.
    """
    deposits = _deposits(transactions)
    refused = _refused(transactions, deposits)
    crowded = _crowded(transactions, deposits)
    nonces = await _nonces(client, crowded)
    calls: list[Call] = [("anvil_impersonateAccount", [to_hex(sender)]) for sender in crowded]
    answers: dict[int, int] = {}
    for index, raw in enumerate(transactions):
        if index in refused:
            continue
        deposit = deposits.get(index)
        if deposit is not None and deposit.sender in nonces:
            call: Call = ("eth_sendTransaction", [_request(deposit, nonces[deposit.sender])])
            nonces[deposit.sender] += 1
        else:
            sent = _signed(raw) if crowded and deposit is None else None
            if sent is not None and sent.nonce < nonces.get(sent.sender, 0):
                refused[index] = (
                    f"nonce too low: {to_hex(sent.sender)} is at {nonces[sent.sender]} after its deposits"
                )
                continue
            call = ("eth_sendRawTransaction", [to_hex(raw)])
        answers[index] = len(calls)
        calls.append(call)
    calls += [("anvil_stopImpersonatingAccount", [to_hex(sender)]) for sender in crowded]
    return Submission(tuple(calls), answers, refused, renamed=bool(crowded))


def renamed_in(transactions: Sequence[bytes]) -> bool:
    """Whether some deposits of a block that is there went in as requests."""
    return bool(_crowded(transactions, _deposits(transactions)))


def _deposits(transactions: Sequence[bytes]) -> dict[int, Deposit]:
    return {index: decode_deposit(raw) for index, raw in enumerate(transactions) if raw[:1] == DEPOSIT_TYPE}


def _refused(transactions: Sequence[bytes], deposits: Mapping[int, Deposit]) -> dict[int, str]:
    refused: dict[int, str] = {}
    seen: set[bytes] = set()
    for index, raw in enumerate(transactions):
        if raw in seen:
            refused[index] = "already known: the same transaction stands earlier in the block"
        elif index in deposits:
            if deposits[index].mint >= MAX_MINT:
                refused[index] = f"a deposit mints less than 2^128 wei, not {deposits[index].mint}"
        elif not raw or (raw[0] < 0xC0 and raw[0] not in _SIGNED_TYPES):
            refused[index] = f"transaction type not supported: {to_hex(raw[:1])}"
        seen.add(raw)
    return refused


def _crowded(transactions: Sequence[bytes], deposits: Mapping[int, Deposit]) -> list[bytes]:
    """Senders of deposits that send more than one transaction of the block; system senders never do."""
    users = (deposit.sender for deposit in deposits.values())
    count = {sender: 0 for sender in users if not sender.startswith(DEPOSITOR_PREFIX)}
    if not count:
        return []
    for index, raw in enumerate(transactions):
        sent = deposits[index] if index in deposits else _signed(raw)
        if sent is not None and sent.sender in count:
            count[sent.sender] += 1
    return [sender for sender, times in count.items() if times > 1]


async def _nonces(client: Client, senders: Sequence[bytes]) -> dict[bytes, int]:
    if not senders:
        return {}
    asked = [("eth_getTransactionCount", [to_hex(sender), "latest"]) for sender in senders]
    nonces: dict[bytes, int] = {}
    for sender, answer in zip(senders, await client.batch(asked), strict=True):
        if isinstance(answer, RpcError):
            raise answer
        nonces[sender] = int(answer, 16)
    return nonces


def _signed(raw: bytes) -> Transaction | None:
    try:
        return decode_transaction(raw)
    except Malformed:
        return None


def _request(deposit: Deposit, nonce: int) -> dict[str, Any]:
    request = {
        "type": "0x7e",
        "from": to_hex(deposit.sender),
        "sourceHash": to_hex(deposit.source_hash),
        "mint": hex(deposit.mint),
        "value": hex(deposit.value),
        "gas": hex(deposit.gas),
        "isSystemTx": deposit.is_system,
        "data": to_hex(deposit.data),
        "nonce": hex(nonce),
    }
    return request | ({"to": to_hex(deposit.to)} if deposit.to else {})
