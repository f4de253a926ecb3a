"""For tests of verification: a bit of everything that a devnet can do, in a few seconds, and what must be found of it.

::

    senders  ─► transfers, withdrawals, messages to L1 and to other rollups ─┐
    traders  ─► atomic bundles, some with a failing leg                      ─┼─► busy (the sequencer dies among them) ─► settled:
    depositor ─► deposits: transfers, creations, failures                    ┘   executed at its end, on L1, proposed
"""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bridge.contracts.addresses import (
    CROSS_ROLLUP_MAILBOX,
    L2_CROSS_DOMAIN_MESSENGER,
    L2_TO_L1_MESSAGE_PASSER,
)
from bridge.contracts.artifacts import artifact
from bridge.contracts.op import op_artifact
from bridge.wire.deposits import DEPOSITED_TOPIC, user_deposit
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction, sign_transaction
from orchestrator.chains import ChainHandle
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.settlement.deployments import deployments
from orchestrator.strategies.sampling import random_strategy
from orchestrator.topology.plan import Account
from orchestrator.waiting import eventually

TRADERS, PER_TRADER = 4, 18
SENDERS, PER_SENDER = 4, 22
"""Senders work on every rollup."""
DEPOSITS = 80
LIFETIME_S = 8
"""Of a bundle: one that was acknowledged unheard takes a nonce, and the next with it waits in vain."""
WITHIN_S = 40.0
"""Longest wait for anything, seconds."""

_PORTAL, _ORACLE = op_artifact("OptimismPortal").interface, op_artifact("L2OutputOracle").interface
_PASSER = op_artifact("L2ToL1MessagePasser").interface
_MESSENGER = op_artifact("L2CrossDomainMessenger").interface
_MAILBOX = artifact("CrossRollupMailbox").interface
_EXECUTED = 2
"""``Incoming.EXECUTED`` of the mailbox."""
_VALID_UNTIL_S = 3600
"""After the first rollup's head, seconds."""
_SINK, _NOBODY = "0x" + "5e" * 20, "0x" + "00" * 20
_RETURNING, _REVERTING = bytes.fromhex("60016000f3"), bytes.fromhex("60006000fd")
_DEPOSITS: tuple[tuple[str, int, int, bool, bytes, str], ...] = (
    (_SINK, 5, 5, False, b"", "0x1"),
    (_NOBODY, 0, 3, True, _RETURNING, "0x1"),
    (_NOBODY, 0, 2, True, _REVERTING, "0x0"),
    (_SINK, 10**30, 1, False, b"", "0x0"),
)
"""Kinds of deposits: target, value, what is paid on L1, whether it creates, data, and status on the rollup."""


@dataclass(slots=True)
class Work:
    """What was done."""

    sent: list[tuple[ChainHandle, str]] = field(default_factory=list)
    """Rollup and hash of each transaction."""
    messages: list[tuple[ChainHandle, str, ChainHandle]] = field(default_factory=list)
    """Rollup and hash of each transaction that sent a message to another rollup, and that rollup."""
    bundles: dict[str, str] = field(default_factory=dict)
    """Outcome by hash."""
    deposits: list[tuple[ChainHandle, str, str]] = field(default_factory=list)
    """Rollup, hash of the L1 transaction, and the status that it must have on the rollup."""

    @property
    def items(self) -> int:
        """How many."""
        return len(self.sent) + len(self.bundles) + len(self.deposits)

    @property
    def committed(self) -> set[str]:
        """Hashes of the bundles that took effect."""
        return {digest for digest, outcome in self.bundles.items() if outcome == "committed"}


async def busy(net: Devnet, work: Work) -> None:
    """Users of all kinds at once; the sequencer dies among them, by SIGKILL, and comes back.

    Raises:
        RollnetError: something was not taken in time.
    """
    async with asyncio.TaskGroup() as group:
        for index in range(SENDERS):
            for chain in net.rollups.values():
                others = [other for other in net.rollups.values() if other is not chain]
                group.create_task(send_mixed(work, net.accounts[TRADERS + index], chain, others))
        for index in range(TRADERS):
            group.create_task(_trade(net, work, index))
        group.create_task(_deposit(net, work, net.accounts[TRADERS + SENDERS]))
        group.create_task(_kill_once(net, work))


async def send_mixed(
    work: Work, user: Account, chain: ChainHandle, others: Sequence[ChainHandle] = ()
) -> None:
    """Transfers, withdrawals, messages to L1 and to other rollups, one after the other, by a user who is new on the rollup."""
    rng = random.Random(f"{user.name}/{chain.name}")
    kinds = ("transfer", "transfer", "withdrawal", "message", *(["crossing"] if others else []))
    head = await chain.rpc("eth_getBlockByNumber", "latest", False)
    for nonce in range(PER_SENDER):
        kind = rng.choice(kinds)
        target = f"0x{rng.getrandbits(160):040x}"
        if kind == "transfer":
            raw = _signed(user, chain, nonce, target, value=1 + rng.randrange(10**9))
        elif kind == "withdrawal":
            data = _PASSER.encode_call("initiateWithdrawal", target, 50_000, rng.randbytes(rng.randrange(40)))
            raw = _signed(user, chain, nonce, L2_TO_L1_MESSAGE_PASSER, data, value=nonce)
        elif kind == "message":
            data = _MESSENGER.encode_call("sendMessage", target, rng.randbytes(30), 60_000)
            raw = _signed(user, chain, nonce, L2_CROSS_DOMAIN_MESSENGER, data, value=nonce)
        else:
            other = rng.choice(others)
            until = int(head["timestamp"], 16) + _VALID_UNTIL_S
            padded = from_hex(target, 20).rjust(32, b"\0")
            data = _MAILBOX.encode_call("send", other.chain_id, padded, 30_000, until, b"")
            raw = _signed(user, chain, nonce, CROSS_ROLLUP_MAILBOX, data, value=1 + nonce)
            work.messages.append((chain, to_hex(keccak256(raw)), other))
        await _acknowledged(chain, raw)
        work.sent.append((chain, to_hex(keccak256(raw))))


async def settled(net: Devnet, work: Work) -> None:
    """Wait until everything was executed as it had to be, is on L1, and outputs of it are proposed.

    Raises:
        RollnetError: not in time.
        AssertionError: something has another status than it must have.
    """
    for digest, outcome in work.bundles.items():
        if outcome == "unknown":  # the sequencer died before it could answer: it may have acknowledged it
            work.bundles[digest] = await _end(net, digest)
    last = dict.fromkeys(net.rollups, 0)
    wanted = [(chain, digest, "0x1") for chain, digest in work.sent]
    for chain, digest, status in work.deposits:
        on_l1 = await _receipt(net.l1, digest)
        assert on_l1["status"] == "0x1", on_l1
        (log,) = (log for log in on_l1["logs"] if log["topics"][0] == DEPOSITED_TOPIC)
        wanted.append((chain, to_hex(keccak256(user_deposit(log, on_l1["blockHash"]))), status))
    for chain, digest, status in wanted:
        receipt = await _receipt(chain, digest)
        assert receipt["status"] == status, (chain.name, receipt)
        last[chain.name] = max(last[chain.name], int(receipt["blockNumber"], 16))
    await asyncio.gather(*(_crossed(*message) for message in work.messages))
    contracts = deployments(net.plan).rollups

    async def proposed() -> bool:
        return all(
            [await _proposed(net.l1, contracts[name].output_oracle) >= last[name] for name in net.rollups]
        )

    await eventually(proposed, WITHIN_S, "an output after everything, on each rollup", every_s=0.1)


async def _kill_once(net: Devnet, work: Work) -> None:
    async def under_way() -> bool:
        third = SENDERS * len(net.rollups) * PER_SENDER // 3
        return len(work.sent) > third and len(work.bundles) > TRADERS

    await eventually(under_way, WITHIN_S, "work in the middle of which to kill", every_s=0.01)
    await net.node("sequencer").kill()
    await net.node("sequencer").restart()


async def _trade(net: Devnet, work: Work, account: int) -> None:
    rng = random.Random(f"trader/{account}")
    for _ in range(PER_TRADER):
        try:
            result = await net.run(random_strategy(net.plan, rng), account=account, lifetime_s=LIFETIME_S)
        except RollnetError:
            continue  # the sequencer was dead before anything was sent
        work.bundles[to_hex(result.bundle_hash)] = result.outcome


async def _deposit(net: Devnet, work: Work, user: Account) -> None:
    """Through all portals; two of one sender follow one another at once, so that they meet in one L1 block."""
    chains = list(net.rollups.values())
    for nonce in range(DEPOSITS):
        chain = chains[nonce // 2 % len(chains)]
        to, value, paid, create, data, status = _DEPOSITS[nonce % len(_DEPOSITS)]
        call = _PORTAL.encode_call("depositTransaction", to, value, 100_000, create, data)
        raw = _signed(user, net.l1, nonce, deployments(net.plan).rollups[chain.name].portal, call, value=paid)
        work.deposits.append((chain, await net.l1.rpc("eth_sendRawTransaction", to_hex(raw)), status))


async def _acknowledged(chain: ChainHandle, raw: bytes) -> None:
    """Send until it is acknowledged: the sequencer may be dead for a while, and sending twice is safe."""

    async def taken() -> bool:
        return bool(await chain.rpc("eth_sendRawTransaction", to_hex(raw)) == to_hex(keccak256(raw)))

    await eventually(taken, WITHIN_S, f"{chain.name} takes a transaction")


async def _end(net: Devnet, digest: str) -> str:
    """What became of a bundle about which nothing was heard."""
    found: list[str] = []

    async def over() -> bool:
        told = await net.bundle(digest)
        found.append("lost" if told is None else str(told["status"]))
        return found[-1] != "pending"

    await eventually(over, WITHIN_S, f"the end of {digest}")
    return found[-1]


async def _receipt(chain: ChainHandle, digest: str) -> Any:
    found: list[Any] = []

    async def there() -> bool:
        found.append(await chain.receipt(digest))
        return found[-1] is not None

    await eventually(there, WITHIN_S, f"the receipt of {digest} on {chain.name}")
    return found[-1]


async def _crossed(source: ChainHandle, digest: str, destination: ChainHandle) -> None:
    """Wait until a message was executed on the rollup that it was for."""
    receipt = await _receipt(source, digest)
    topic = to_hex(_MAILBOX.topic("MessageSent"))
    (name,) = (log["topics"][1] for log in receipt["logs"] if log["topics"][0] == topic)
    data = to_hex(_MAILBOX.encode_call("incoming", from_hex(name, 32)))

    async def executed() -> bool:
        answer = await destination.rpc("eth_call", {"to": CROSS_ROLLUP_MAILBOX, "data": data}, "latest")
        return bool(_MAILBOX.decode_result("incoming", from_hex(answer))[0] == _EXECUTED)

    what = f"{destination.name} executes {name} of {source.name}"
    await eventually(executed, WITHIN_S, what, every_s=0.2)


async def _proposed(l1: ChainHandle, oracle: str) -> int:
    """L2 block of the last output on L1."""
    call = {"to": oracle, "data": to_hex(_ORACLE.encode_call("latestBlockNumber"))}
    return int(
        _ORACLE.decode_result("latestBlockNumber", from_hex(await l1.rpc("eth_call", call, "latest")))[0]
    )


def _signed(
    user: Account, chain: ChainHandle, nonce: int, to: str, data: bytes = b"", *, value: int = 0
) -> bytes:
    unsigned = UnsignedTransaction(
        chain.chain_id, nonce, 100 * 10**9, 10**9, 600_000, from_hex(to), data, value
    )
    return sign_transaction(unsigned, user.private_key)
