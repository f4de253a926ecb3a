"""Histories of an engine: blocks, returns, restarts and reads in any order give what the blocks alone give; readers see decided blocks only."""

import asyncio
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.slot import BundlePart, Payload
from bridge.wire.testing import MemoryJournal
from rollup_node.engines.base import Header
from rollup_node.engines.options import engine as engines
from rollup_node.engines.options.engine import OptionsEngine
from rollup_node.engines.options.testing import Both, input_on, options_engine
from rollup_node.engines.options.transition.testing import Desk, address, order, signed_call
from rollup_node.engines.options.values import PRICE_UNIT
from rollup_node.messages import StageRequest
from rollup_node.recovery import recover
from rollup_node.store import Store

DOLLAR = PRICE_UNIT
steps = st.lists(
    st.one_of(
        st.tuples(st.just("block"), st.integers(0, 3)),
        st.tuples(st.just("rewind"), st.integers(0, 4)),
        st.tuples(st.just("read"), st.integers(0, 4)),
        st.tuples(st.sampled_from(["checkpoint", "restart"]), st.just(0)),
    ),
    max_size=25,
)


def _blocks(desk: Desk, series: int) -> list[tuple[bytes, ...]]:
    """Kinds of blocks; what of them succeeds depends on where they stand."""
    alice, bob = desk.account("alice"), desk.account("bob")

    def sent(name: str, function: str, *arguments: object, nonces: range) -> tuple[bytes, ...]:
        return tuple(signed_call(name, function, arguments, nonce, 0, 901) for nonce in nonces)

    buy, sell = (order(one, series, 240 * DOLLAR, size) for one, size in ((alice, 300), (bob, -200)))
    return [
        (),
        sent("alice", "placeOrder", buy, nonces=range(1, 6)),
        sent("bob", "placeOrder", sell, nonces=range(1, 6)),
        sent("bob", "withdraw", bob, address("bob"), DOLLAR, nonces=range(1, 6)),
    ]


@settings(max_examples=20)
@given(steps)
def test_a_block_is_what_the_blocks_before_it_make_it(story: list[tuple[str, int]]) -> None:
    """Whatever was executed and undone, read and restarted in between: the same blocks have the same headers, and balances."""
    desk = Desk()
    series, _ = desk.open_market({"alice": 50_000, "bob": 50_000})
    kinds = _blocks(desk, series)
    known: dict[tuple[int, ...], tuple[Header, str]] = {}

    async def told(engine: OptionsEngine, path: tuple[int, ...], header: Header) -> None:
        """What a chain came to, the first time and every other time."""
        balance = await engine.request("eth_getBalance", [to_hex(address("bob")), hex(header.number)])
        assert (header, balance) == known.setdefault(path, (header, balance))

    async def run(folder: Path) -> None:
        async with options_engine(folder, desk) as engine:
            await engine.start()
            first = await Both(desk, engine).catch_up()
            path: tuple[int, ...] = ()
            floor: tuple[int, ...] = ()
            await engine.checkpoint(folder / "state")
            for step, argument in story:
                if step == "block":
                    head = await engine.head()
                    path = (*path, argument)
                    await told(engine, path, (await engine.execute(input_on(head, kinds[argument]))).header)
                elif step == "rewind" and len(path) - argument >= len(floor):
                    path = path[: len(path) - argument]
                    await engine.rewind(first.number + len(path))
                elif step == "read":
                    back = path[: max(len(floor), len(path) - argument)]
                    header = await engine.header(first.number + len(back))
                    assert header is not None
                    await told(engine, back, header)
                elif step == "checkpoint":
                    await engine.checkpoint(folder / "state")
                    floor = path
                elif step == "restart":
                    await engine.stop()
                    await engine.start()
                    path = floor
                    await told(engine, path, await engine.restore(folder / "state"))

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder)))


async def test_readers_see_decided_blocks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nonce, cash and book at the gate stay what they are while blocks above it are staged, in threads, and undone all the time."""
    monkeypatch.setattr(engines, "INLINE", 4)
    desk = Desk()
    series, _ = desk.open_market({"alice": 50_000, "bob": 50_000})
    account = desk.account("alice")
    async with options_engine(tmp_path, desk) as engine:
        store = Store(tmp_path / "store")
        chain = await recover(engine, store, MemoryJournal())
        for content in desk.history:
            raws = tuple(map(to_hex, content.transactions))
            deposits, sent = (raws, ()) if content.number == 1 else ((), raws)
            payload = Payload(content.timestamp, sent, (), deposits=deposits)
            await chain.derive(901, content.number, payload)
        gate = hex(chain.gate.number)
        questions = [
            ("eth_getTransactionCount", [to_hex(address("alice")), gate]),
            ("options_getAccount", [account, gate]),
            ("options_getBook", [series, 5, gate]),
        ]
        expected = [await chain.read(*question) for question in questions]
        stop, seen = asyncio.Event(), 0

        async def reader() -> None:
            nonlocal seen
            while not stop.is_set():
                assert expected == [await chain.read(*question) for question in questions]
                seen += 1
                await asyncio.sleep(0)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(reader())
            chances = random.Random(3)
            for slot in range(30):
                wanted = order(account, series, (200 + slot) * DOLLAR, 100)
                count = chances.randint(1, 8)
                raws = [
                    signed_call("alice", "placeOrder", (wanted,), 1 + one, 0, 901) for one in range(count)
                ]
                part = BundlePart(
                    to_hex(keccak256(bytes([slot]))), tuple(range(count)), tuple(map(to_hex, raws))
                )
                staged = Payload(chain.gate.timestamp + 1, (), (part,))
                told = await chain.stage(StageRequest(1, slot, 0, chain.gate.hash, staged, {}))
                assert {"success"} == {result.status for result in told[0].results}
                await asyncio.sleep(0.001)
                await chain.greet(1)
            stop.set()
        store.close()
    assert seen > 20
