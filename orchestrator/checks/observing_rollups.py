"""Reading a rollup at the end of a run: its whole chain, everybody's ether, and its market's books. An edge.

Everything is read at one head, by number; what was there at genesis comes from the genesis file and the plan, so that a node which no longer
serves old states can be observed too.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from bridge.contracts.addresses import CASH_TOKEN, LEG_ESCROW, OPTIONS_MARKET, PREDEPLOYS
from bridge.contracts.artifacts import artifact
from bridge.wire.errors import Malformed, PeerUnreachable, RpcError
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.chains import ChainHandle
from orchestrator.checks.decoding import block_seen, good
from orchestrator.checks.observed import (
    Amounts,
    BlockSeen,
    Holder,
    MarketSeen,
    RollupSeen,
    Series,
)
from orchestrator.checks.observing_options import READ_S, observe_ledger
from orchestrator.market.genesis import USER_CASH, USER_WALLET_CASH
from orchestrator.settlement.deployments import role_of
from orchestrator.settlement.funding import MAKER_CASH
from orchestrator.topology.plan import Plan

PAGE = 30
"""Blocks in one request; each takes two calls."""
OPERATOR_FEE_VAULT = "0x420000000000000000000000000000000000001b"
"""A predeploy of later OP Stack forks that engines may credit."""
HEADS = ("latest", "safe", "finalized")
UNREADABLE = (RpcError, PeerUnreachable, Malformed)
"""Why a node cannot be observed."""
_MARKET, _CASH = artifact("OptionsMarket").interface, artifact("CashToken").interface

Head = tuple[int, str]
"""Number and hash of a block."""


async def heads_of(chain: ChainHandle) -> dict[str, Head]:
    """A chain's heads.

    Raises:
        RpcError, PeerUnreachable: they can't be read.
    """
    answers = good(await chain.client.batch([("eth_getBlockByNumber", [tag, False]) for tag in HEADS]))
    return {tag: (int(block["number"], 16), block["hash"]) for tag, block in zip(HEADS, answers, strict=True)}


async def blocks_of(chain: ChainHandle, head: Head) -> list[BlockSeen]:
    """Every block up to a head.

    Raises:
        RpcError, PeerUnreachable: they can't be read.
        Malformed: what the node says does not fit together, or its chain moved back meanwhile.
    """
    blocks: list[BlockSeen] = []
    for first in range(0, head[0] + 1, PAGE):
        numbers = range(first, min(first + PAGE, head[0] + 1))
        calls = [
            call
            for number in numbers
            for call in (
                ("eth_getBlockByNumber", [hex(number), True]),
                ("eth_getBlockReceipts", [hex(number)]),
            )
        ]
        answers = good(await chain.client.batch(calls, READ_S))
        for number, block, receipts in zip(numbers, answers[::2], answers[1::2], strict=True):
            if block is None or receipts is None:
                raise Malformed(f"{chain.name} does not serve block {number}")
            try:
                blocks.append(block_seen(block, receipts))
            except (KeyError, ValueError, TypeError) as exc:
                raise Malformed(f"{chain.name}, block {number}: {exc!r}") from exc
    if blocks[-1].hash != head[1]:
        raise Malformed(f"{chain.name} went back behind block {head[0]} while it was read")
    return blocks


def named_in(blocks: Iterable[BlockSeen]) -> set[str]:
    """Addresses that a transaction or one of its events names: on any rollup, for what a rollup sends another may pay."""
    found: set[str] = set()
    for block in blocks:
        for sent in block.transactions:
            found |= {sent.sender, *([sent.to] if sent.to else [])}
            for event in sent.events:
                found |= {word for word in map(_as_address, _flat(event.arguments.values())) if word}
    return found


async def observe_rollup(
    chain: ChainHandle,
    plan: Plan,
    heads: Mapping[str, Head],
    blocks: Sequence[BlockSeen],
    alloc: Mapping[str, int],
    named: Collection[str],
) -> RollupSeen:
    """Read a rollup at its head.

    Args:
        chain: the rollup.
        plan: the devnet.
        heads: read before; ``latest`` is where everything is read.
        blocks: up to there.
        alloc: who had how much ether in its genesis, wei by lower-case address.
        named: addresses that may have ether beside those.

    Raises:
        RpcError, PeerUnreachable: it can't be read.
    """
    number = heads["latest"][0]
    if any(rollup.name == chain.name and rollup.options is not None for rollup in plan.rollups):
        cash, ledger = await observe_ledger(chain, number, blocks, alloc)
        return RollupSeen(chain.chain_id, tuple(blocks), heads, cash, ledger=ledger)
    ether = await _ether(chain, number, {*alloc, *named}, alloc)
    market = None if plan.market is None else await _market(chain, plan, number, blocks)
    return RollupSeen(chain.chain_id, tuple(blocks), heads, ether, market)


async def _ether(
    chain: ChainHandle, number: int, known: Collection[str], alloc: Mapping[str, int]
) -> dict[str, Amounts]:
    """Of everybody who can have any, the vaults among them."""
    ordered = sorted({*known, *PREDEPLOYS.values(), OPERATOR_FEE_VAULT})
    answers = good(
        await chain.client.batch([("eth_getBalance", [who, hex(number)]) for who in ordered], READ_S)
    )
    found = {
        who: Amounts(alloc.get(who, 0), int(amount, 16)) for who, amount in zip(ordered, answers, strict=True)
    }
    return {who: amounts for who, amounts in found.items() if amounts.before or amounts.after}


def _flat(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _as_address(value: Any) -> str | None:
    """An address, or the address in a word of 32 bytes."""
    if not isinstance(value, str) or not value.startswith("0x"):
        return None
    if len(value) == 42:
        return value
    return "0x" + value[-40:] if len(value) == 66 and value.startswith("0x" + "00" * 12) else None


async def _market(
    chain: ChainHandle, plan: Plan, number: int, blocks: Iterable[BlockSeen]
) -> MarketSeen | None:
    read = _Reader(chain, number)
    if await chain.client.call("eth_getCode", OPTIONS_MARKET, hex(number)) == "0x":
        return None
    maker = role_of(plan, "maker").address.lower()
    users = {user.address.lower() for user in plan.users}
    people = users | {maker, LEG_ESCROW} | _named(blocks)
    ordered = sorted(people)
    ((rows,), (cap,), (supply,), (held,)) = await read.many(
        [
            (OPTIONS_MARKET, _MARKET, "board", (maker,)),
            (OPTIONS_MARKET, _MARKET, "PRICE_CAP", ()),
            (CASH_TOKEN, _CASH, "totalSupply", ()),
            (CASH_TOKEN, _CASH, "balanceOf", (OPTIONS_MARKET,)),
        ]
    )
    series = {to_hex(identity): Series(terms[1], terms[2], bool(terms[3])) for identity, terms, _ in rows}
    names = list(series)
    columns = ("freeCash", "lockedCash", "reservedCash", "positionsOf")
    books = await read.many(
        [(OPTIONS_MARKET, _MARKET, column, (who,)) for who in ordered for column in columns]
        + [(CASH_TOKEN, _CASH, "balanceOf", (who,)) for who in ordered]
        + [(OPTIONS_MARKET, _MARKET, "settlementPool", (from_hex(name),)) for name in names]
    )
    wide = len(columns) * len(ordered)
    per = {
        who: [answer[0] for answer in books[place * 4 : place * 4 + 4]] for place, who in enumerate(ordered)
    }
    in_hand = [answer[0] for answer in books[wide : wide + len(ordered)]]
    pools = [answer[0] for answer in books[wide + len(ordered) :]]
    start = dict.fromkeys(users, USER_CASH) | {maker: MAKER_CASH}
    carried = dict.fromkeys(users, USER_WALLET_CASH)
    deposited, minted = sum(start.values()), sum(start.values()) + sum(carried.values())
    return MarketSeen(
        price_cap=cap,
        series=series,
        holders={
            who: Holder(Amounts(start.get(who, 0), free), Amounts(0, locked), Amounts(0, reserved))
            for who, (free, locked, reserved, _) in per.items()
        },
        positions=_positions(names, {who: row[3] for who, row in per.items()}),
        pools={name: pool for name, pool in zip(names, pools, strict=True) if pool},
        supply=Amounts(minted, supply),
        held=Amounts(deposited, held),
        wallets={
            who: Amounts(carried.get(who, 0), amount) for who, amount in zip(ordered, in_hand, strict=True)
        },
    )


def _positions(names: Sequence[str], held: Mapping[str, Sequence[int]]) -> dict[str, Mapping[str, int]]:
    by_series: dict[str, dict[str, int]] = {}
    for who, quantities in held.items():
        for name, quantity in zip(names, quantities, strict=True):
            if quantity:
                by_series.setdefault(name, {})[who] = quantity
    return dict(by_series)


def _named(blocks: Iterable[BlockSeen]) -> set[str]:
    """Accounts that the market's own events name."""
    return {
        str(event.arguments[role])
        for block in blocks
        for sent in block.transactions
        for event in sent.events
        if event.contract == "OptionsMarket"
        for role in ("maker", "taker", "account", "from")
        if role in event.arguments
    }


class _Reader:
    """Read-only calls at one block."""

    def __init__(self, chain: ChainHandle, number: int) -> None:
        self._chain, self._at = chain, hex(number)

    async def many(self, calls: Sequence[tuple[str, Any, str, tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        """Results of calls of (address, interface, function, arguments), in order."""
        asked: list[tuple[str, list[Any]]] = [
            ("eth_call", [{"to": to, "data": to_hex(interface.encode_call(function, *arguments))}, self._at])
            for to, interface, function, arguments in calls
        ]
        answers = good(await self._chain.client.batch(asked, READ_S))
        return [
            interface.decode_result(function, from_hex(answer))
            for (_, interface, function, _), answer in zip(calls, answers, strict=True)
        ]
