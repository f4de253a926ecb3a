"""Filling a slot: what execution needs is kept for any set of waiting items, and nothing ready is left out without a reason."""

from collections import Counter
from collections.abc import Callable, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.slot import Decision
from bridge.wire.system import SYSTEM_GAS
from bridge.wire.testing import signed
from shared_sequencer import ordering
from shared_sequencer.mempool import Account, End, Item, Mempool
from shared_sequencer.ordering import MAX_BYTES, FirstComeFirstServed, by_chain, published_bytes, select
from shared_sequencer.testing import bundle_item, transaction_item

CHAINS = (901, 902)
NOW = 1_000
LIMITS = {901: 600_000, 902: 300_000}


@st.composite
def waiting(draw: st.DrawFn) -> list[Item]:
    """Items in order of admission; every nonce is held by one item, and there are gaps."""
    nonces: Counter[tuple[int, int]] = Counter()
    items = []

    def leg() -> tuple[int, int, int, int]:
        chain, account = draw(st.sampled_from(CHAINS)), draw(st.integers(0, 2))
        nonces[chain, account] += draw(st.sampled_from([1, 1, 1, 1, 1, 2]))
        return chain, account, nonces[chain, account] - 1, draw(st.sampled_from([21_000, 60_000, 150_000]))

    for _ in range(draw(st.integers(0, 12))):
        legs = [leg() for _ in range(draw(st.integers(1, 3)))]
        deadline = draw(st.sampled_from([NOW - 1, NOW, NOW + 1, NOW + 5, NOW + 9]))
        built = [signed(chain, account, nonce, gas=gas) for chain, account, nonce, gas in legs]
        if len(built) > 1 or draw(st.booleans()):
            items.append(bundle_item(built, deadline))
        else:
            items.append(transaction_item(built[0], deadline))
    return draw(st.permutations(items)) if draw(st.booleans()) else items


def _accounts(item: Item) -> set[Account]:
    return {(leg.chain_id, leg.sender) for leg in item.legs}


def _fill(items: list[Item], up: set[int], next_nonce: dict[Account, int]) -> ordering.Selection:
    return select(items, next_nonce=next_nonce, gas_limits=LIMITS, up=up, timestamp=NOW)


@given(waiting(), st.sets(st.sampled_from(CHAINS), min_size=1), st.integers(0, 2))
@settings(max_examples=300, deadline=None)
def test_what_is_selected_can_be_executed(items: list[Item], up: set[int], start: int) -> None:
    """In the order of execution (transactions, then bundles) nonces follow one another, gas fits, rollups are up, deadlines hold."""
    next_nonce = {account: start for item in items for account in _accounts(item)}
    chosen = _fill(items, up, next_nonce)
    nonces, gas = dict(next_nonce), Counter[int]()
    for item in chosen.items:
        assert item.max_timestamp >= NOW
        if item.kind == "bundle":
            gas.update(dict.fromkeys({leg.chain_id for leg in item.legs}, SYSTEM_GAS))
        for leg in item.legs:
            assert leg.chain_id in up
            assert nonces[leg.chain_id, leg.sender] == leg.nonce
            nonces[leg.chain_id, leg.sender] += 1
            gas[leg.chain_id] += leg.gas
    assert all(used <= LIMITS[chain] - SYSTEM_GAS for chain, used in gas.items())
    assert {item.id for item in items if item.max_timestamp < NOW} == {item.id for item in chosen.expired}
    taken = [item.id for item in (*chosen.transactions, *chosen.bundles, *chosen.expired)]
    assert len(set(taken)) == len(taken)


def _follows(item: Item, nonces: Mapping[Account, int]) -> bool:
    ahead = Counter[Account]()
    for leg in item.legs:
        account = (leg.chain_id, leg.sender)
        if leg.nonce != nonces.get(account, 0) + ahead[account]:
            return False
        ahead[account] += 1
    return True


def _needed(item: Item) -> Counter[int]:
    needed = Counter[int]()
    if item.kind == "bundle":
        needed.update(dict.fromkeys({leg.chain_id for leg in item.legs}, SYSTEM_GAS))
    for leg in item.legs:
        needed[leg.chain_id] += leg.gas
    return needed


def _first(
    items: list[Item], taken: list[Item], nonces: Counter[Account], fits: Callable[[Item], bool]
) -> Item | None:
    """The first in order of admission that could run now."""
    left = (item for item in items if item not in taken)
    return next((item for item in left if _follows(item, nonces) and fits(item)), None)


def _naive(items: list[Item], up: set[int]) -> tuple[list[Item], list[Item]]:
    """Take, again and again from the beginning, the first item that could run now; then order bundles in the same way."""
    ready = [
        item for item in items if item.max_timestamp >= NOW and all(leg.chain_id in up for leg in item.legs)
    ]
    taken: list[Item] = []
    nonces, gas, bundled = Counter[Account](), Counter[int](), set[Account]()

    def fits(item: Item) -> bool:
        return all(
            gas[chain] + more <= LIMITS[chain] - SYSTEM_GAS for chain, more in _needed(item).items()
        ) and not (item.kind == "transaction" and _accounts(item) & bundled)

    while (item := _first(ready, taken, nonces, fits)) is not None:
        taken.append(item)
        gas.update(_needed(item))
        nonces.update((leg.chain_id, leg.sender) for leg in item.legs)
        bundled |= _accounts(item) if item.kind == "bundle" else set()
    transactions = [item for item in taken if item.kind == "transaction"]
    bundles: list[Item] = []
    nonces = Counter((leg.chain_id, leg.sender) for item in transactions for leg in item.legs)
    chosen = [item for item in items if item in taken and item.kind == "bundle"]
    while (item := _first(chosen, bundles, nonces, lambda _: True)) is not None:
        bundles.append(item)
        nonces.update((leg.chain_id, leg.sender) for leg in item.legs)
    assert len(bundles) == len(chosen)
    return transactions, bundles


@given(waiting(), st.sets(st.sampled_from(CHAINS), min_size=1))
@settings(max_examples=400, deadline=None)
def test_a_slot_is_what_the_naive_rule_fills(items: list[Item], up: set[int]) -> None:
    """First come, first served, and whoever waits only for a nonce is served as soon as that is there: as the quadratic rule says."""
    chosen = _fill(items, up, {})
    assert _naive(items, up) == (list(chosen.transactions), list(chosen.bundles))


@given(st.permutations(range(40)), st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_backlog_out_of_order_goes_into_one_slot(order: list[int], bundles: bool) -> None:
    """However one sender's items were admitted: all of them, in the order of their nonces, bounded by nothing but the slot's bounds."""
    make = (lambda leg: bundle_item([leg])) if bundles else transaction_item
    items = [make(signed(901, 0, nonce)) for nonce in order]
    chosen = select(items, next_nonce={}, gas_limits={901: 10**9}, up={901}, timestamp=NOW)
    assert list(range(40)) == [item.legs[0].nonce for item in chosen.items]


def test_what_waits_for_its_nonce_keeps_its_place() -> None:
    """A bundle that came first and follows another's nonce runs before all that came after the one with the nonce before it."""
    first, between = bundle_item([signed(901, 0, 1)]), bundle_item([signed(901, 1, 0)])
    before, after = bundle_item([signed(901, 0, 0)]), bundle_item([signed(901, 2, 0)])
    opening = transaction_item(signed(901, 0, 0))

    def order(*items: Item) -> tuple[Item, ...]:
        return select(items, next_nonce={}, gas_limits={901: 10**9}, up={901}, timestamp=NOW).bundles

    assert (between, before, first, after) == order(first, between, before, after)
    assert (first, between, after) == order(first, between, opening, after)


def test_a_transaction_after_its_senders_bundle_waits_for_the_next_slot() -> None:
    """Transactions run before bundles, so the bundle's successor must not enter the same slot; another account's may."""
    bundle = bundle_item([signed(901, 0, 0), signed(902, 0, 0)])
    successor, other = transaction_item(signed(901, 0, 1)), transaction_item(signed(901, 1, 0))
    chosen = _fill([bundle, successor, other], {901, 902}, {})
    assert ((other,), (bundle,)) == (chosen.transactions, chosen.bundles)
    next_bundle = bundle_item([signed(901, 0, 1)])
    assert (bundle, next_bundle) == _fill([bundle, next_bundle], {901, 902}, {}).bundles


def test_a_deadline_is_the_last_second_that_may_hold_the_item() -> None:
    """A block of the deadline's own second takes it; one of the next does not."""
    item = bundle_item([signed(901, 0, 0)], NOW)
    assert ((item,), ()) == (_fill([item], {901}, {}).bundles, _fill([item], {901}, {}).expired)
    later = select([item], next_nonce={}, gas_limits=LIMITS, up={901}, timestamp=NOW + 1)
    assert ((), (item,)) == (later.bundles, later.expired)


def test_a_slot_is_bounded_in_items_and_in_bytes() -> None:
    """L1 must take a slot whole: what does not fit waits, and smaller items behind it may still go."""
    gas_limits = {901: 10**9}
    many = [transaction_item(signed(901, 100 + n, 0)) for n in range(ordering.MAX_ITEMS + 1)]
    chosen = select(many, next_nonce={}, gas_limits=gas_limits, up={901}, timestamp=NOW)
    assert tuple(many[:-1]) == chosen.transactions
    big = [transaction_item(signed(901, n, 0, padding=MAX_BYTES // 3, gas=10**6)) for n in range(3)]
    small = transaction_item(signed(901, 5, 0))
    chosen = select([*big, small], next_nonce={}, gas_limits=gas_limits, up={901}, timestamp=NOW)
    assert (big[0], big[1], small) == chosen.transactions
    assert sum(published_bytes(item.legs) for item in chosen.items) <= MAX_BYTES
    assert sum(published_bytes(item.legs) for item in [*big, small]) > MAX_BYTES


def test_items_by_chain_keep_their_order() -> None:
    """A bundle stands once under every rollup it touches."""
    first, second = bundle_item([signed(901, 0, 0), signed(901, 0, 1)]), transaction_item(signed(902, 1, 0))
    third = bundle_item([signed(902, 0, 0), signed(901, 2, 0)])
    assert {901: [first, third], 902: [second, third]} == by_chain([first, second, third])
    assert [first, second] == list(FirstComeFirstServed().order([first, second]))


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 4), st.booleans()), max_size=15))
@settings(deadline=None)
def test_the_mempools_books_agree_with_a_naive_count(script: list[tuple[int, int, bool]]) -> None:
    """Adding and ending in any order: holder, pending nonce and pending cost are what a look at the waiting items says."""
    pool = Mempool()
    for account, nonce, adds in script:
        item = transaction_item(signed(901, account, nonce, value=nonce))
        held = pool.holder(item.legs[0])
        if adds and held is None:
            pool.add(item)
        elif held is not None:
            pool.end(End(held, _included(held), None, {}))
            pool.included(held.legs[0])
        for who in (0, 1):
            sender = signed(901, who, 0).sender
            mine = {held.legs[0].nonce: held.legs[0] for held in pool if held.legs[0].sender == sender}
            free = pool.next_nonce.get((901, sender), 0)
            while free in mine:
                free += 1
            assert free == pool.pending_nonce((901, sender))
            assert sum(leg.cost for leg in mine.values()) == pool.pending_cost((901, sender))
            assert all(pool.holder(signed(901, who, n, value=n)) is not None for n in mine)


def _included(item: Item) -> Decision:
    """An inclusion."""
    return Decision(item.id, "include", chain_id=901)


def test_records_bring_items_back() -> None:
    """A bundle and a transaction are the same after the log as before."""
    for item in (
        bundle_item([signed(901, 0, 0), signed(902, 0, 3)], 77, b"\x05" * 32),
        transaction_item(signed(901, 1, 1), 9),
    ):
        assert item == Item.from_record(item.to_record())


def test_releasing_an_item_leaves_its_successor_on_the_nonce() -> None:
    """Two items of one nonce (the first was cut off while it was admitted): the one that waits keeps the nonce."""
    pool = Mempool()
    first, second = transaction_item(signed(901, 0, 0)), transaction_item(signed(901, 0, 0, value=1))
    pool.reserve(first)
    pool.add(second)
    pool.release(first)
    assert second == pool.holder(first.legs[0])
    assert 1 == pool.pending_nonce((901, first.legs[0].sender))
