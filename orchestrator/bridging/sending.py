"""Transactions that the command line sends for a user of a devnet: checked before, alone while signing, and followed to a receipt."""

import asyncio
import contextlib
import fcntl
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bridge.contracts.codec import Interface
from bridge.l1.errors import Unaffordable, WouldRevert
from bridge.l1.simulation import PLAIN, gas_for
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction, sign_transaction
from orchestrator.bridging.terms import ETHER, Currency, coin_of
from orchestrator.chains import ChainHandle, ChainUnreachable, translated
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.topology.plan import Account

GAS_MARGIN: Final = 2
"""Gas limit over the estimate: what a deposit burns on L1 depends on the deposits before it."""
PRIORITY_FEE: Final = 10**9
"""Wei per gas."""
RECEIPT_S: Final = 30.0
"""Longest wait for the receipt of a transaction of ours, seconds."""
EVERY_S: Final = 0.2
"""Pause between two looks, seconds."""


class BridgingFailed(RollnetError):  # noqa: N818 - states what happened
    """Nothing was moved, or it is not known what was."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Submitted:
    """A transaction that a chain's node took."""

    hash: str
    at_ns: int
    """When it was sent, ``time.monotonic_ns()``."""


async def send(net: Devnet, chain: ChainHandle, account: Account, to: str, data: bytes, wei: int) -> str:
    """Sign and send one transaction, alone, as :func:`submit` does; its hash."""
    async with alone(net):
        return (await submit(chain, account, to, data, wei, coin=coin_of(net.plan, chain.name))).hash


async def submit(
    chain: ChainHandle,
    account: Account,
    to: str,
    data: bytes,
    wei: int,
    *,
    interface: Interface = PLAIN,
    coin: Currency = ETHER,
) -> Submitted:
    """Sign and send one transaction, checking first that the account can pay and that it would succeed; for a holder of :func:`alone`.

    Args:
        chain: where.
        account: who signs and pays.
        to: whom to call.
        data: with what.
        wei: to send along.
        interface: whose errors a refusal may be.
        coin: what the chain's wei are counted in.

    Raises:
        BridgingFailed: the account has too little, the call would fail, or whether it was sent is not known.
        RollnetError: the chain doesn't answer or refuses; nothing was sent.
    """
    balance = int(await chain.rpc("eth_getBalance", account.address, "pending"), 16)
    if balance < wei:
        raise _too_little(chain, account, coin, balance, wei)
    head = await chain.rpc("eth_getBlockByNumber", "latest", False)
    fee = 2 * int(head["baseFeePerGas"], 16) + PRIORITY_FEE
    try:
        with translated(chain.name):
            needed = await gas_for(
                chain.client, account.address, from_hex(to, 20), data, wei, interface=interface
            )
    except Unaffordable as exc:
        raise BridgingFailed(
            f"{chain.name}: {exc}; nothing was sent", "a smaller amount, or another --account"
        ) from exc
    except WouldRevert as exc:
        raise BridgingFailed(f"{chain.name} would refuse it: {exc}; nothing was sent") from exc
    gas = GAS_MARGIN * needed
    if balance < wei + gas * fee:
        raise _too_little(chain, account, coin, balance, wei + gas * fee)
    nonce = int(await chain.rpc("eth_getTransactionCount", account.address, "pending"), 16)
    unsigned = UnsignedTransaction(
        chain.chain_id, nonce, fee, PRIORITY_FEE, gas, from_hex(to), data, value=wei
    )
    raw = sign_transaction(unsigned, account.private_key)
    submitted = Submitted(to_hex(keccak256(raw)), time.monotonic_ns())
    try:
        await chain.rpc("eth_sendRawTransaction", to_hex(raw))
    except ChainUnreachable as exc:
        message = f"{exc.message}; whether it took {submitted.hash} is not known"
        raise BridgingFailed(message, f"{exc.hint}; look for the receipt before you repeat it") from exc
    return submitted


async def receipt_of(chain: ChainHandle, digest: str) -> Mapping[str, Any]:
    """The receipt of a transaction that succeeded, once it is in a block.

    Raises:
        BridgingFailed: it failed, or is in no block in time.
    """
    end, why = time.monotonic() + RECEIPT_S, ""
    while time.monotonic() < end:
        try:
            receipt = await chain.receipt(digest)
        except ChainUnreachable as exc:
            receipt, why = None, f": {exc.message}"
        if receipt is not None:
            if receipt["status"] != "0x1":
                raise BridgingFailed(f"{digest} failed on {chain.name}: nothing was moved, but for its fee")
            return receipt
        await asyncio.sleep(EVERY_S / 4)
    raise BridgingFailed(
        f"{digest} was sent to {chain.name}, but is in no block after {RECEIPT_S:.0f} s{why}",
        "it may be there later: look for its receipt before you repeat it; see `rollnet status`",
    )


def _too_little(
    chain: ChainHandle, account: Account, coin: Currency, balance: int, needed: int
) -> BridgingFailed:
    return BridgingFailed(
        f"{account.name} ({account.address}) has {coin.shown(balance)} {coin.symbol} on {chain.name}, "
        f"and this takes {coin.shown(needed)} {coin.symbol} with fees",
        "a smaller amount, or another --account",
    )


@contextlib.asynccontextmanager
async def alone(net: Devnet) -> AsyncIterator[None]:
    """Hold the lock of everybody who signs for users of this devnet on the command line.

    Two commands at once would sign the same transaction, and both take it for theirs.
    """
    with (net.directory.path / "bridging.lock").open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(EVERY_S / 10)
        yield
