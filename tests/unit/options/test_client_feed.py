"""What keeps options rollups fed, against the engine itself: fresh marks, listings, one price per expiry, and never two updates of one number."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.journal import Journal, read_journal
from orchestrator.market.board import Terms
from orchestrator.market.errors import VenueError
from orchestrator.market.feed import Statement, next_statement, update_of
from orchestrator.market.feeding import Feeding
from orchestrator.market.maker_state import Progress, State
from orchestrator.market.options_board import read_options_board
from orchestrator.market.options_calls import ORACLE, Update, decode_spot, spot_call
from orchestrator.market.options_venue import OptionsVenue
from orchestrator.market.quoting import listed_series
from orchestrator.market.testing_options import START, OptionsChain, example_options_plan, options_chain
from orchestrator.market.units import WAD, price_units
from orchestrator.market.wallet import Wallet

PLAN = example_options_plan()
MARKET = PLAN.market
assert MARKET is not None
MAKER = PLAN.role("maker")
SERIES = listed_series(MARKET, START)


@dataclass
class Desk:
    """A rollup and what feeds it."""

    chain: OptionsChain
    folder: Path
    state: State
    feeding: Feeding
    venue: OptionsVenue
    progress: Progress
    journal: Journal

    @classmethod
    def at(cls, chain: OptionsChain, folder: Path) -> "Desk":
        """Begin, or go on after a restart."""
        assert MARKET is not None
        state = State.load(folder / "maker.json", MARKET, chain.now)
        journal = Journal(folder / "maker.jsonl", "maker", "maker")
        series = listed_series(MARKET, state.start)
        feeding = Feeding(MARKET, series, [chain.for_maker], state, journal, lambda: float(chain.now))
        venue = OptionsVenue(chain.for_maker, chain.client, Wallet(MAKER.private_key))
        return cls(chain, folder, state, feeding, venue, Progress(), journal)

    async def look(self, seconds: int = 0) -> tuple[int, int, int]:
        """A look after so long; spot, number and time of the update that then stands."""
        self.chain.now += seconds
        await self.feeding.look(self.venue, self.progress)
        return decode_spot(await self.venue._sender.call(ORACLE, spot_call("ETH")))

    def told(self, event: str) -> list[dict[str, Any]]:
        """What the journal says of an event."""
        return [dict(one.attrs) for one in read_journal(self.folder / "maker.jsonl") if one.event == event]


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A rollup at its genesis, with a block so that its clock is that of the test."""
    async with options_chain(PLAN, tmp_path) as chain:
        yield Desk.at(chain, tmp_path)


async def test_after_the_first_look_every_series_is_quoted_both_ways(desk: Desk) -> None:
    """Update, listings, quotes: from the first look on there is liquidity; a second look finds nothing to do."""
    assert (2_000 * 10**6, 1, START) == await desk.look()
    assert desk.progress.ready
    assert len(SERIES) == desk.progress.quotes == 20
    board = await read_options_board(desk.chain.call, "ETH")
    assert set(SERIES) == {row.terms for row in board.rows}
    assert all(0 < row.quote.bid < row.quote.ask for row in board.rows)
    number = int(await desk.chain.call("eth_blockNumber"), 16)
    await desk.look()
    assert number == int(await desk.chain.call("eth_blockNumber"), 16)
    (fed,) = desk.told("maker.fed")
    assert fed == {
        "rollup": "gamma",
        "sequence": 1,
        "timestamp": START,
        "spot": 2_000 * 10**6,
        "signatures": 2,
    }
    assert [{"rollup": "gamma", "series": 20, "quotes": 20}] == desk.told("maker.ready")


async def test_marks_stay_fresh_and_follow_the_spot(desk: Desk) -> None:
    """A tenth second later there is a new update, at once when the spot moves; and none older than rollups trust."""
    await desk.look()
    assert 1 == (await desk.look(9))[1]
    assert (2, START + 10) == (await desk.look(1))[1:]
    desk.state.spot = 2_100.0
    assert (2_100 * 10**6, 3, START + 11) == await desk.look(1)
    assert 4 == (await desk.look(1_000))[1], "after a long silence it goes on"


async def test_a_restart_goes_on_with_higher_numbers(desk: Desk) -> None:
    """Also with those that were signed and never came through: two updates of one number would be an equivocation."""
    await desk.look()
    desk.chain.refusing = "eth_sendRawTransaction"
    with pytest.raises(VenueError, match="refused for a test"):
        await desk.look(10)
    desk.chain.refusing = None
    again = Desk.at(desk.chain, desk.folder)
    assert {"gamma": 2} == again.state.sequences
    assert (3, START + 10) == (await again.look())[1:]
    assert 20 == again.progress.quotes
    assert 1 == len(again.told("maker.listed")), "what is listed isn't listed again"


async def test_expiries_settle_on_one_price_that_others_can_take(desk: Desk) -> None:
    """The first update at an expiry fixes the average spot; what the rollup settled on is remembered for EVM rollups."""
    await desk.look()
    expiry = START + 86_400
    await desk.look(86_390)
    desk.state.spot = 2_200.0
    await desk.look(5)
    assert (4, expiry) == ((await desk.look(5))[1], desk.chain.now), "an expiry is no time to wait"
    await desk.look()
    # the last minute: 55 s until the move, 5 s after it
    price = desk.state.settlements[expiry]
    assert (55 * 2_000 + 5 * 2_200) * 10**6 // 60 == price
    assert [{"rollup": "gamma", "expiry": expiry, "price": price}] == desk.told("maker.settled")
    assert price == desk.state.settlement(expiry)


statements = st.builds(Statement, st.integers(START, START + 10), st.integers(1, 3))


@settings(max_examples=60)
@given(statements, st.floats(0, 300), st.integers(1, 3), st.floats(4, 1_000))
def test_a_statement_is_renewed_when_it_is_due_and_never_twice_in_a_second(
    last: Statement, seconds: float, spot: int, trusted_s: float
) -> None:
    """What comes out is the last one, or one of this second that is due: for the price, its age, or an expiry."""
    now = last.timestamp + seconds
    series = [Terms("ETH", 1, last.timestamp + 3, is_call=True)]
    said = next_statement(last, now=now, spot=spot, series=series, trusted_s=trusted_s)
    due = spot != last.spot or seconds >= min(10, trusted_s / 4) or seconds >= 3
    expected = Statement(int(now), spot) if due and int(now) > last.timestamp else last
    assert expected == said


def test_forwards_grow_at_the_rate_and_the_last_expiry_is_discounted_by_it() -> None:
    """Parity at the last expiry: discount times forward is the spot, to a part in 10^12; what has expired isn't quoted."""
    assert MARKET is not None
    later = Statement(START + 86_400, price_units(2_000))
    update: Update = update_of(replace(MARKET, rate=0.05), SERIES, later, 7)
    symbol, sequence, timestamp, spot, discount, confidence, forwards, volatilities = update
    assert (b"ETH", 7, later.timestamp, 2_000 * 10**6, WAD) == (
        symbol.rstrip(b"\0"),
        sequence,
        timestamp,
        spot,
        confidence,
    )
    ((expiry, forward),) = forwards
    assert START + 604_800 == expiry
    assert pytest.approx(2_000e6, rel=1e-9) == forward * discount / WAD
    assert [
        (expiry, strike * 10**6, WAD * 6 // 10) for strike in (1_800, 1_900, 2_000, 2_100, 2_200)
    ] == list(volatilities)
    everything_over = update_of(MARKET, SERIES, Statement(START + 10**6, 1), 8)
    assert (WAD, (), ()) == (everything_over[4], everything_over[6], everything_over[7])
