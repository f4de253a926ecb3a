"""Conservation: no value is made and none is lost, on each rollup, on L1, and between them.

For every rollup, in wei: what everybody holds in the end is what genesis gave plus what deposits minted. Fees go to vaults and withdrawn ether
stays in the message passer, so nothing else changes the sum. Its portal on L1 holds exactly that, less what finalized withdrawals paid out, plus
what was deposited and is not on the rollup yet. For its options market: tokens are its books, books are the trades, positions net to zero. On an
options rollup wei are dollars, the ledger of its accounts and purses is what they are summed over, and positions net to zero likewise.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestrator.checks.facts import RunFacts
from orchestrator.checks.observed import L1Seen, LedgerSeen, MarketSeen, RollupSeen
from orchestrator.checks.verdict import CheckResult, CounterExample, judged

NAME, OF_WHAT = "conservation", "balances"
_PREDEPLOYS = "0x" + "42".ljust(36, "0")
"""How the addresses of predeploys begin."""
_INDIRECT = frozenset({"MessageExecuted", "MessageFailed", "MessageRefunded"})
"""Events after which a contract may have paid somebody: then single accounts cannot be reckoned from transactions alone."""


def check(facts: RunFacts) -> CheckResult:
    """Judge the observed balances."""
    observed = facts.observed
    if observed is None:
        return judged(NAME, 0, OF_WHAT)
    found: list[CounterExample] = []
    notes: list[str] = []
    unknown: list[str] = []
    seen = 0
    for name, rollup in observed.rollups.items():
        seen += len(rollup.ether)
        surplus = _ether(name, rollup)
        if surplus and surplus.lost and _pays_whom_nobody_names(rollup):
            unknown.append(f"{surplus.told.lines[0]}, or lie with accounts that no transaction names")
        elif surplus:
            found.append(surplus.told)
        found += _accounts(name, rollup)
        if rollup.market is not None:
            seen += len(rollup.market.holders)
            found += _market(name, rollup.market)
        if rollup.ledger is not None:
            seen += len(rollup.ledger.accounts)
            found += _ledger(name, rollup.ledger)
        if observed.l1 is not None and name in observed.l1.portals:
            found += _portal(name, rollup, observed.l1)
            waiting = _in_flight(name, rollup, observed.l1)
            if waiting:
                notes.append(
                    f"{name}: {len(waiting)} deposits with {sum(waiting.values())} wei on their way from l1"
                )
    unknown += [f"{name} was not observed" for name in facts.unobserved]
    if observed.l1 is None:
        unknown.append("l1 was not observed")
    return judged(NAME, seen, OF_WHAT, found, notes=notes, unknown=unknown)


@dataclass(frozen=True, slots=True)
class _Surplus:
    lost: bool
    told: CounterExample


def _ether(name: str, rollup: RollupSeen) -> _Surplus | None:
    before = sum(amounts.before for amounts in rollup.ether.values())
    after = sum(amounts.after for amounts in rollup.ether.values())
    minted = sum(sent.mint for block in rollup.blocks for sent in block.transactions)
    surplus = after - before - minted
    if not surplus:
        return None
    lines = (
        f"{name}: {abs(surplus)} wei were {'made' if surplus > 0 else 'lost'}",
        f"genesis {before} + deposits {minted} should be {before + minted}, all accounts together have {after}",
    )
    return _Surplus(surplus < 0, CounterExample(lines))


def _pays_whom_nobody_names(rollup: RollupSeen) -> bool:
    """Whether a predeploy was given ether by L1, to pass it on: only the call data, which nobody kept, says to whom."""
    return any(
        sent.deposit and sent.mint and (sent.to or "").startswith(_PREDEPLOYS)
        for block in rollup.blocks
        for sent in block.transactions
    )


def _accounts(name: str, rollup: RollupSeen) -> Iterator[CounterExample]:
    """Everybody who signs: what they had, sent, paid and received. Not on options rollups, where an order pays when another one meets it."""
    if rollup.ledger is not None:
        return
    sent = [one for block in rollup.blocks for one in block.transactions]
    if any(event.name in _INDIRECT for one in sent for event in one.events):
        return
    signers = {one.sender for one in sent if not one.deposit}
    change: dict[str, int] = {}
    for one in sent:
        change[one.sender] = change.get(one.sender, 0) + one.mint - one.fee - (one.value if one.ok else 0)
        if one.ok and one.to is not None:
            change[one.to] = change.get(one.to, 0) + one.value
    for who in sorted(signers):
        amounts = rollup.ether.get(who)
        before, after = (amounts.before, amounts.after) if amounts else (0, 0)
        expected = before + change.get(who, 0)
        if after != expected:
            mine = [one for one in sent if who in (one.sender, one.to)]
            yield CounterExample(
                (
                    f"{name}: {who} has {after} wei, its {len(mine)} transactions leave it {expected}",
                    f"off by {after - expected}",
                )
            )


def _in_flight(name: str, rollup: RollupSeen, l1: L1Seen) -> dict[str, int]:
    """Deposits that L1 holds and the rollup does not yet: what they mint, by their name on the rollup."""
    there = {sent.hash for block in rollup.blocks for sent in block.transactions if sent.deposit}
    return {
        one.transaction: one.mint
        for one in l1.deposits
        if one.rollup == name and one.transaction not in there
    }


def _portal(name: str, rollup: RollupSeen, l1: L1Seen) -> Iterator[CounterExample]:
    values = {
        event.arguments["withdrawalHash"]: int(event.arguments["value"])
        for block in rollup.blocks
        for sent in block.transactions
        for event in sent.events
        if event.name == "MessagePassed"
    }
    paid = sum(values.get(one.withdrawal, 0) for one in l1.finalized if one.rollup == name and one.success)
    there = sum(amounts.before for amounts in rollup.ether.values()) + sum(
        sent.mint for block in rollup.blocks for sent in block.transactions
    )
    coming = sum(_in_flight(name, rollup, l1).values())
    expected, held = there - paid + coming, l1.portals[name].after
    if held != expected:
        yield CounterExample(
            (
                f"{name}: its portal on l1 holds {held} wei, and should hold {expected}: off by {held - expected}",
                f"{there} wei on the rollup - {paid} paid out to withdrawals + {coming} on the way there",
            )
        )


def _market(name: str, market: MarketSeen) -> Iterator[CounterExample]:
    if market.supply.after != market.supply.before:
        yield CounterExample(
            (f"{name}: there were {market.supply.before} of the cash token, and now {market.supply.after}",)
        )
    known = market.held.after + sum(amounts.after for amounts in market.wallets.values())
    if known > market.supply.after:
        yield CounterExample(
            (f"{name}: accounts hold {known} of the cash token, and there are only {market.supply.after}",)
        )
    books = sum(
        holder.free.after + holder.locked.after + holder.reserved.after for holder in market.holders.values()
    ) + sum(market.pools.values())
    if books != market.held.after:
        yield CounterExample(
            (
                f"{name}: the market holds {market.held.after} of cash, its books say {books}",
                f"off by {market.held.after - books}",
            )
        )
    for series, held in market.positions.items():
        if net := sum(held.values()):
            yield CounterExample(
                (f"{name}: positions in series {series} net to {net}, not to zero", *_rows(held))
            )


def _ledger(name: str, ledger: LedgerSeen) -> Iterator[CounterExample]:
    """Whoever is long in a series of an options rollup has somebody who is short."""
    held: dict[str, dict[str, int]] = {}
    for number, account in ledger.accounts.items():
        for series, quantity in account.positions.items():
            held.setdefault(series, {})[f"account {number}"] = quantity
    for series, quantities in held.items():
        if (net := sum(quantities.values())) and series not in ledger.settling:
            yield CounterExample(
                (f"{name}: positions in series {series} net to {net}, not to zero", *_rows(quantities))
            )


def _rows(held: Mapping[str, int]) -> Iterator[str]:
    for who, quantity in sorted(held.items(), key=lambda item: -abs(item[1])):
        yield f"{who}: {quantity}"
