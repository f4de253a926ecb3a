"""The market maker on bare engines: quotes around the plan, renews what is used up, settles, and survives a restart."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts.addresses import OPTIONS_MARKET, PRICE_ORACLE
from bridge.wire.journal import read_journal
from orchestrator.market.board import Board, Quote, Row, Terms, board_call, decode_board
from orchestrator.market.errors import MakerConfigError
from orchestrator.market.genesis import USER_CASH
from orchestrator.market.maker import Config, State
from orchestrator.market.quoting import listed_series, offers_due, quote
from orchestrator.market.testing import EXAMPLE_MARKET, MarketChain, example_plan, market_chain
from orchestrator.market.units import symbol_bytes
from orchestrator.topology.plan import MarketPlan

PLAN = example_plan(("alpha", "beta"))
MAKER, USER = PLAN.roles[1], PLAN.users[0]
SMALL = replace(EXAMPLE_MARKET, strikes=(1_900.0, 2_000.0, 2_100.0), expiries_s=(100_000.0,))
NO_BUNDLE = b"\0" * 32
PATIENCE_S = 20.0


class RunningMaker:
    """A maker process and what it says."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process, self.url = process, url

    async def status(self) -> tuple[int, dict[str, Any]]:
        """Status code and body; code 0 while nothing listens."""
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{self.url}/status") as answer:
                return answer.status, orjson.loads(await answer.read())
        except aiohttp.ClientConnectionError:
            return 0, {}

    async def until(self, accept: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first status that is ready and accepted."""
        last: object = None
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    code, body = last = await self.status()
                    if code == 200 and accept(body):
                        return body
                    assert self.process.returncode is None, "the maker ended"
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"the maker did not get there; it last said {last}")

    async def until_failing(self, rollup: str) -> dict[str, Any]:
        """The first status in which one rollup has an error and the others are ready."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                _, body = await self.status()
                rollups = body.get("rollups", {})
                others = [state["ready"] for name, state in rollups.items() if name != rollup]
                if rollups and rollups[rollup]["error"] and all(others):
                    return body
                await asyncio.sleep(0.02)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()


class World:
    """Two rollups and a place for makers."""

    def __init__(self, chains: list[MarketChain], folder: Path, stack: AsyncExitStack) -> None:
        self.chains, self.folder, self._stack = chains, folder, stack

    async def maker(self, market: MarketPlan = SMALL, port: int = 0, **changes: Any) -> RunningMaker:
        """Start a maker of both rollups."""
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", port)
        port = server.sockets[0].getsockname()[1]
        server.close()
        await server.wait_closed()
        config = {
            "name": "maker",
            "port": port,
            "rollups": [
                (rollup.name, chain.client.url, rollup.chain_id)
                for rollup, chain in zip(PLAN.rollups, self.chains, strict=True)
            ],
            "private_key": MAKER.private_key,
            "market": asdict(market),
            "data_dir": str(self.folder / "data"),
            "journal": str(self.folder / "maker.jsonl"),
            "refresh_s": 0.05,
            **changes,
        }
        path = self.folder / "config.json"
        path.write_bytes(orjson.dumps(config))
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "orchestrator.market.maker", str(path), env=dict(os.environ)
        )
        running = RunningMaker(process, f"http://127.0.0.1:{port}")
        self._stack.push_async_callback(running.stop, signal.SIGKILL)
        return running

    async def boards(self) -> list[Board]:
        """What the maker has on offer, by rollup."""
        return [
            decode_board(await chain.call("x", OPTIONS_MARKET, board_call(MAKER.address)))
            for chain in self.chains
        ]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Two engines that mine every transaction at once, on the machine's clock."""
    async with AsyncExitStack() as stack:
        chains = []
        for index in range(2):
            chain = await stack.enter_async_context(
                market_chain(PLAN, tmp_path, index, "--no-request-size-limit")
            )
            await chain.client.call("evm_setTime", int(time.time()))
            chains.append(chain)
        yield World(chains, tmp_path, stack)


async def _buy(chain: MarketChain, row: Row, quantity: int) -> None:
    await chain.send(
        USER, "OptionsMarket", OPTIONS_MARKET, "trade", row.series, MAKER.address, quantity, 2**255, NO_BUNDLE
    )


async def test_it_quotes_every_series_on_every_rollup_alike(world: World) -> None:
    """When ready, both boards hold the same series with quotes around the model; SIGTERM ends it with 0."""
    maker = await world.maker()
    status = await maker.until(lambda _: True)
    assert (status["series"], status["quotes"], status["spot"]) == (6, 12, 2_000.0)
    one, other = await world.boards()
    assert [row.terms for row in one.rows] == list(listed_series(SMALL, status["start"]))
    assert [row.terms for row in one.rows] == [row.terms for row in other.rows]
    for row in one.rows:
        model = quote(SMALL, row.terms, 2_000.0, time.time())
        assert abs(row.quote.ask - model.ask) < 0.01 * model.ask
        assert row.quote.bid < row.quote.ask
    assert await maker.stop() == 0
    events = [event.event for event in read_journal(world.folder / "maker.jsonl")]
    assert (events[0], events[-1]) == ("node.started", "node.stopped")
    assert sorted(set(events[1:-1])) == ["maker.quoted", "maker.ready"]


async def test_a_used_up_quote_is_renewed_and_others_are_left_alone(world: World) -> None:
    """Below half of its size a quote is posted anew; one that is used a little stays."""
    maker = await world.maker()
    await maker.until(lambda _: True)
    rows = (await world.boards())[0].rows
    await _buy(world.chains[0], rows[0], 260_000)
    await _buy(world.chains[0], rows[1], 100_000)
    status = await maker.until(lambda body: body["quotes"] == 13)
    assert status["rollups"]["alpha"]["quotes"] == 7
    renewed = (await world.boards())[0].rows
    assert [row.quote.ask_size for row in renewed[:2]] == [500_000, 400_000]


async def test_a_new_spot_reaches_oracles_and_quotes_everywhere(world: World) -> None:
    """``POST /spot`` moves both rollups; nonsense is refused and changes nothing."""
    maker = await world.maker()
    await maker.until(lambda _: True)
    async with aiohttp.ClientSession() as session:
        for body in (b"{}", b"[]", b"x", b'{"spot": -1}', b'{"spot": true}', b'{"spot": 1e300}'):
            async with session.post(f"{maker.url}/spot", data=body) as answer:
                assert answer.status == 400
        async with session.post(f"{maker.url}/spot", json={"spot": 2_200}) as answer:
            assert answer.status == 200
    await maker.until(lambda body: body["quotes"] == 24)
    for chain, board in zip(world.chains, await world.boards(), strict=True):
        spot, _ = await chain.read("PriceOracle", PRICE_ORACLE, "spot", symbol_bytes("ETH"))
        assert spot == 2_200_000_000
        assert [row.quote.ask for row in board.rows] == pytest.approx(
            [quote(SMALL, row.terms, 2_200.0, time.time()).ask for row in board.rows], rel=0.01
        )


async def test_a_killed_maker_goes_on_where_it_was(world: World) -> None:
    """After SIGKILL it lists nothing twice, keeps its start and spot, and renews only what is due."""
    first = await world.maker()
    before = await first.until(lambda _: True)
    await first.stop(signal.SIGKILL)
    await _buy(world.chains[1], (await world.boards())[1].rows[0], 260_000)
    second = await world.maker()
    after = await second.until(lambda _: True)
    assert (after["start"], after["expiries"], after["quotes"]) == (before["start"], before["expiries"], 1)
    assert [len(board.rows) for board in await world.boards()] == [6, 6]


async def test_at_expiry_everyone_is_settled_on_one_price(world: World) -> None:
    """The price is fixed on both rollups alike, and longs and shorts have their money without asking."""
    maker = await world.maker(replace(SMALL, expiries_s=(4.0,)))
    await maker.until(lambda _: True)
    boards = await world.boards()
    call = next(index for index, row in enumerate(boards[0].rows) if row.terms.is_call)
    paid = []
    for chain, board in zip(world.chains, boards, strict=True):
        await _buy(chain, board.rows[call], 10_000)
        paid.append(board.rows[call].quote.ask)
    for chain in world.chains:
        await chain.client.call("evm_setTime", boards[0].rows[0].terms.expiry + 1)
    await maker.until(lambda body: all(rollup["settled"] == 2 for rollup in body["rollups"].values()))
    for chain, price in zip(world.chains, paid, strict=True):
        (free,) = await chain.read("OptionsMarket", OPTIONS_MARKET, "freeCash", USER.address)
        assert abs(free - (USER_CASH - price + 100_000_000)) < 1_000_000
        (locked,) = await chain.read("OptionsMarket", OPTIONS_MARKET, "lockedCash", MAKER.address)
        assert locked == 0


async def test_a_rollup_that_is_away_holds_up_no_other(world: World) -> None:
    """With one rollup unreachable the other is quoted; the maker isn't ready and says why."""
    rollups = [("alpha", world.chains[0].client.url, 901), ("beta", "http://127.0.0.1:1", 902)]
    maker = await world.maker(rollups=rollups)
    body = await maker.until_failing("beta")
    assert (body["ready"], body["rollups"]["beta"]["ready"]) == (False, False)
    assert (await maker.status())[0] == 503
    assert "127.0.0.1:1" in body["rollups"]["beta"]["error"]


async def test_a_rollup_without_market_is_reported_and_tried_again(world: World) -> None:
    """A rollup that lacks the contracts doesn't end the maker."""
    await world.chains[1].client.call("anvil_setCode", PRICE_ORACLE, "0x")
    maker = await world.maker()
    body = await maker.until_failing("beta")
    assert "beta has no contract" in body["rollups"]["beta"]["error"]
    assert await maker.stop() == 0


def test_the_maker_imports_nothing_slow() -> None:
    """A devnet waits for the maker, so it does without the libraries that cost half a second and more."""
    code = "import sys, orchestrator.market.maker; print(sorted({'web3', 'eth_account', 'networkx'} & sys.modules.keys()))"
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert outcome.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "fields", [{}, {"market": {}}, {"market": 3, "rollups": []}, {"market": asdict(SMALL)}]
)
def test_a_broken_configuration_is_refused(fields: dict[str, Any]) -> None:
    """What is missing or wrong is an error for the user, not a traceback."""
    with pytest.raises(MakerConfigError, match="no maker configuration"):
        Config.parse(fields)


def test_a_configuration_may_come_with_its_port_as_text() -> None:
    """Runtimes fill ports in as text, and JSON has lists where the plan has tuples."""
    fields = orjson.loads(
        orjson.dumps(
            {
                "name": "maker",
                "port": "4711",
                "rollups": [["alpha", "http://127.0.0.1:1", 901]],
                "private_key": MAKER.private_key,
                "market": asdict(SMALL),
                "data_dir": "d",
                "journal": "j",
            }
        )
    )
    config = Config.parse(fields)
    assert (config.port, config.market, config.rollups) == (
        4711,
        SMALL,
        (("alpha", "http://127.0.0.1:1", 901),),
    )


def test_an_expiry_settles_on_one_price_for_ever(tmp_path: Path) -> None:
    """The first look at an expiry decides; later spots and restarts don't change it."""
    state = State.load(tmp_path / "maker.json", SMALL, 5.9)
    assert (state.start, state.settlement(105)) == (5, 2_000_000_000)
    state.spot = 3_000.0
    state.save()
    again = State.load(tmp_path / "maker.json", SMALL, 99.0)
    assert (again.start, again.spot, again.settlement(105), again.settlement(205)) == (
        5,
        3_000.0,
        2_000_000_000,
        3_000_000_000,
    )


@given(st.floats(100.0, 7_000.0), st.floats(0.0, 604_800.0), st.floats(0.0, 1.5), st.floats(0.0, 0.5))
def test_quotes_enclose_the_model_and_never_cross(
    spot: float, now: float, volatility: float, spread: float
) -> None:
    """Bid below ask, both within the cap, spread as planned; size is the depth."""
    market = replace(EXAMPLE_MARKET, volatility=volatility, spread=spread)
    for terms in listed_series(market, 0):
        offer = quote(market, terms, spot, now)
        assert 0 <= offer.bid < offer.ask <= 8_000 * 10**6 * (1 + spread)
        assert offer.ask - offer.bid <= spread * offer.ask * 1.5 + 2
        assert (offer.bid_size, offer.ask_size) == (500_000, 500_000)


def test_only_what_is_due_is_quoted() -> None:
    """New, used up and moved quotes are due; expired series and quotes within the threshold aren't."""
    series = listed_series(SMALL, 0)
    right = [quote(SMALL, terms, 2_000.0, 0.0) for terms in series]
    used = replace(right[1], bid_size=249_999)
    moved = replace(right[2], ask=right[2].ask * 11 // 10)
    near = replace(right[3], ask=right[3].ask + 10)
    standing = [right[0], used, moved, near, right[4]]
    board = Board(tuple(Row(b"", terms, offer) for terms, offer in zip(series, standing, strict=False)))
    due = offers_due(SMALL, series, board, spot=2_000.0, now=0.0, threshold=0.01)
    assert [offer.terms for offer in due] == [series[1], series[2], series[5]]
    assert offers_due(SMALL, series, Board(()), spot=2_000.0, now=100_000.0, threshold=0.01) == []


async def test_a_series_that_someone_else_listed_is_not_on_the_makers_board(world: World) -> None:
    """Anyone may list a series; it must not confuse the maker's own."""
    chain = world.chains[0]
    terms = Terms("ETH", 1_000_000, int(time.time()) + 50_000, is_call=True)
    await chain.quote(USER, terms, Quote(1, 2, 3, 4))
    assert (await world.boards())[0] == Board(())
    maker = await world.maker()
    await maker.until(lambda _: True)
    board = (await world.boards())[0]
    assert board.find(terms) is None
    assert len(board.expiries("ETH")) == 1
