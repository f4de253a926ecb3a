"""Operations of a load, signed and ready to be sent. Pure: boards, nonces, time and randomness are given."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bridge.contracts.addresses import L2_TO_L1_MESSAGE_PASSER, OPTIONS_MARKET
from bridge.contracts.op import op_artifact
from bridge.wire.bundle import bundle_hash
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.signing import UnsignedTransaction, sign_transaction
from orchestrator.load.history import Kind, Leg
from orchestrator.load.lanes import Lane
from orchestrator.market.board import Board
from orchestrator.market.options_calls import ACCOUNTS
from orchestrator.market.wallet import MAX_FEE, PRIORITY_FEE
from orchestrator.settlement.funding import WEI_PER_CASH
from orchestrator.strategies.resolve import resolve_known
from orchestrator.strategies.sampling import random_strategy
from orchestrator.topology.names import L1
from orchestrator.topology.plan import Account, Plan, RollupPlan

SINKS = tuple(to_hex(keccak256(f"rollnet.load.sink/{index}".encode())[:20]) for index in range(32))
"""Who receives transfers: accounts without a key."""
MOST_WEI = 10**9
"""A transfer moves less than this."""
MOST_CASH = 10**6
"""On an options rollup, millionths of a dollar: the least that moves there."""
TRANSFER_GAS, WITHDRAWAL_GAS, DEPOSIT_GAS = 21_000, 200_000, 300_000
L1_MAX_FEE = 100 * 10**9
"""Wei per gas on L1."""
_PASSER, _PORTAL = op_artifact("L2ToL1MessagePasser").interface, op_artifact("OptimismPortal").interface


@dataclass(frozen=True, slots=True)
class Prepared:
    """A signed operation."""

    kind: Kind
    id: str
    legs: tuple[Leg, ...]
    raws: tuple[bytes, ...]
    max_timestamp: int = 0
    """Of a bundle, unix seconds."""
    salt: bytes = b""
    attrs: Mapping[str, Any] = field(default_factory=dict)


def strategy_bundle(
    plan: Plan, lane: Lane, boards: Mapping[str, Board], rng: random.Random, max_timestamp: int
) -> Prepared:
    """A random strategy, with a leg that must fail as often as :data:`~orchestrator.strategies.sampling.FAIL_SHARE` says.

    Args:
        plan: of one sequencing set.
        lane: with a nonce for each of its rollups, and its accounts on options rollups.
        boards: what is offered, by rollup.
        rng: the stream's.
        max_timestamp: unix seconds.

    Raises:
        ResolutionError: the boards don't list what the strategy needs.
    """
    strategy = random_strategy(plan, rng)
    resolved = resolve_known(
        strategy,
        plan,
        lane.account,
        boards,
        lane.nonces,
        lane.seats,
        max_timestamp=max_timestamp,
        salt=rng.randbytes(32),
    )
    pairs = zip(resolved.legs, resolved.transaction_hashes, strict=True)
    legs = tuple(
        Leg(
            chain=leg.rollup,
            transaction=to_hex(digest),
            sender=lane.account.address.lower(),
            nonce=leg.nonce,
            to=OPTIONS_MARKET if leg.seat is None else ACCOUNTS,
            trade=(to_hex(leg.series), leg.leg.signed_quantity, leg.limit),
        )
        for leg, digest in pairs
    )
    return Prepared(
        Kind.BUNDLE,
        to_hex(resolved.bundle_hash),
        legs,
        resolved.transactions,
        max_timestamp,
        resolved.salt,
        {"work": strategy.name},
    )


def transfer_bundle(plan: Plan, lane: Lane, rng: random.Random, max_timestamp: int) -> Prepared:
    """Two transfers on two rollups, or on one where the set has no more."""
    names = [rollup.name for rollup in plan.rollups]
    chosen = rng.sample(names, k=2) if len(names) > 1 else names * 2
    nonces, by_name = dict(lane.nonces), {rollup.name: rollup for rollup in plan.rollups}
    legs: list[Leg] = []
    raws: list[bytes] = []
    for name in chosen:
        leg, raw = _transfer(by_name[name], lane.account, nonces[name], rng)
        nonces[name] += 1
        legs.append(leg)
        raws.append(raw)
    salt, sender = rng.randbytes(32), from_hex(lane.account.address.lower(), 20)
    named = bundle_hash(
        [(by_name[leg.chain].chain_id, sender, leg.nonce) for leg in legs], max_timestamp, salt
    )
    return Prepared(
        Kind.BUNDLE, to_hex(named), tuple(legs), tuple(raws), max_timestamp, salt, {"work": "transfers"}
    )


def transfer(rollup: RollupPlan, lane: Lane, rng: random.Random) -> Prepared:
    """A single transaction that moves ether."""
    leg, raw = _transfer(rollup, lane.account, lane.nonces[rollup.name], rng)
    return Prepared(Kind.TRANSACTION, leg.transaction, (leg,), (raw,))


def withdrawal(rollup: RollupPlan, lane: Lane, rng: random.Random) -> Prepared:
    """A single transaction that sends ether to L1."""
    data = _PASSER.encode_call("initiateWithdrawal", rng.choice(SINKS), 50_000, b"")
    leg, raw = _signed(
        rollup.name,
        rollup.chain_id,
        lane.account,
        lane.nonces[rollup.name],
        to=L2_TO_L1_MESSAGE_PASSER,
        value=_value(rollup, rng),
        gas=WITHDRAWAL_GAS,
        data=data,
    )
    return Prepared(Kind.WITHDRAWAL, leg.transaction, (leg,), (raw,))


def deposit(plan: Plan, rollup: RollupPlan, portal: str, lane: Lane, rng: random.Random) -> Prepared:
    """A transaction on L1 that sends ether to a rollup."""
    value, sink = _value(rollup, rng), rng.choice(SINKS)
    data = _PORTAL.encode_call("depositTransaction", sink, value, 100_000, False, b"")
    leg, raw = _signed(
        L1,
        plan.l1.chain_id,
        lane.account,
        lane.nonces[L1],
        to=portal.lower(),
        value=value,
        gas=DEPOSIT_GAS,
        data=data,
        max_fee=L1_MAX_FEE,
    )
    attrs = {"rollup": rollup.name, "recipient": sink}
    return Prepared(Kind.DEPOSIT, leg.transaction, (leg,), (raw,), attrs=attrs)


def one_of(rollups: Sequence[RollupPlan], name: str) -> RollupPlan:
    """A rollup by its name."""
    return next(rollup for rollup in rollups if rollup.name == name)


def within(plan: Plan, rollups: tuple[RollupPlan, ...]) -> Plan:
    """The plan as if it had only some of its rollups."""
    return replace(plan, rollups=rollups)


def _transfer(rollup: RollupPlan, account: Account, nonce: int, rng: random.Random) -> tuple[Leg, bytes]:
    return _signed(
        rollup.name,
        rollup.chain_id,
        account,
        nonce,
        to=rng.choice(SINKS),
        value=_value(rollup, rng),
        gas=TRANSFER_GAS,
    )


def _value(rollup: RollupPlan, rng: random.Random) -> int:
    """Wei to move."""
    if rollup.options is None:
        return 1 + rng.randrange(MOST_WEI)
    return (1 + rng.randrange(MOST_CASH)) * WEI_PER_CASH


def _signed(
    chain: str,
    chain_id: int,
    account: Account,
    nonce: int,
    *,
    to: str,
    value: int,
    gas: int,
    data: bytes = b"",
    max_fee: int = MAX_FEE,
) -> tuple[Leg, bytes]:
    unsigned = UnsignedTransaction(
        chain_id=chain_id,
        nonce=nonce,
        max_fee=max_fee,
        priority_fee=PRIORITY_FEE,
        gas=gas,
        to=from_hex(to, 20),
        data=data,
        value=value,
    )
    raw = sign_transaction(unsigned, account.private_key)
    return Leg(chain, to_hex(keccak256(raw)), account.address.lower(), nonce, to, value), raw
