"""Following an L1 that does everything an L1 can do: grow, reorganise at any depth, shrink, die and come back older, or as another chain."""

import asyncio
import contextlib
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.l1.blocks import ROUND
from bridge.l1.follower import L1Follower
from bridge.l1.testing import CASH, OWNER, Meddled, deploy_portals, deposit_call, send, truth
from bridge.wire.errors import PeerUnreachable, RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.l1 import L1Block, L1Info, Rewound
from bridge.wire.testing import run_virtual
from orchestrator.market.scratch import anvil_binary, scratch_anvil
from orchestrator.runtimes.ports import PortReservations

INBOX = "0xff" + "00" * 17 + "0385"
STRANGER = "0x" + "57" * 20
POLL_S = 0.005
LONG_S = 30.0
"""Longest time for anything to happen."""


class Reader:
    """A follower, and the chain that its words add up to."""

    def __init__(self, client: Client, portals: list[str] | None = None) -> None:
        self.follower = L1Follower(client, portals or [], [INBOX], poll_s=POLL_S)
        self.chain: list[L1Block] = []
        self.rewound: list[int] = []
        self._changes = self.follower.changes()

    async def step(self) -> L1Block | Rewound:
        """Take one change; blocks must link and rewinding must shorten."""
        change = await anext(self._changes)
        if isinstance(change, Rewound):
            assert -1 <= change.number < len(self.chain) - 1
            del self.chain[change.number + 1 :]
            self.rewound.append(change.number)
        else:
            assert len(self.chain) == change.info.number
            assert not self.chain or self.chain[-1].info.hash == change.info.parent
            self.chain.append(change)
        assert len(self.chain) - 1 == self.follower.head
        return change

    async def catch_up(self, l1: Client) -> None:
        """Follow until our head is L1's."""
        async with asyncio.timeout(LONG_S):
            head = await l1.call("eth_getBlockByNumber", "latest", False)
            while not self.chain or self.chain[-1].info.hash != head["hash"]:
                await self.step()

    async def close(self) -> None:
        """End the iteration."""
        await self._changes.aclose()


@pytest_asyncio.fixture
async def l1() -> AsyncIterator[Client]:
    """A fresh L1 that mines when it is told to."""
    async with scratch_anvil("--no-mining", "--order", "fifo") as client:
        await client.call("anvil_setBalance", STRANGER, hex(CASH))
        yield client


async def mine(l1: Client, count: int = 1) -> None:
    """Mine blocks."""
    await l1.call("anvil_mine", hex(count))


async def hashes(l1: Client) -> list[str]:
    """L1's chain."""
    head = int(await l1.call("eth_blockNumber"), 16)
    calls = [("eth_getBlockByNumber", [hex(number), False]) for number in range(head + 1)]
    return [block["hash"] for block in await l1.batch(calls)]


def told(reader: Reader) -> list[str]:
    """The reader's chain."""
    return [block.info.hash for block in reader.chain]


@pytest.mark.parametrize("depth", [1, 2, 19, 20, 21, 70, 99])
async def test_reorganisations_are_told_at_their_depth(l1: Client, depth: int) -> None:
    """``Rewound`` names the last common block exactly, however deep; then the new blocks follow."""
    await mine(l1, 99)
    reader = Reader(l1)
    await reader.catch_up(l1)
    await l1.call("anvil_reorg", depth, [])
    await mine(l1, 3)
    await reader.catch_up(l1)
    assert [99 - depth] == reader.rewound
    assert await hashes(l1) == told(reader)


@pytest.mark.parametrize("depth", [1, 20, 50])
async def test_a_shorter_l1_is_told(l1: Client, depth: int) -> None:
    """Blocks taken away without replacement are rewound at once; what comes later follows."""
    await mine(l1, 50)
    reader = Reader(l1)
    await reader.catch_up(l1)
    await l1.call("anvil_rollback", depth)
    assert Rewound(50 - depth) == await reader.step()
    await mine(l1, 2)
    await reader.catch_up(l1)
    assert await hashes(l1) == told(reader)


async def test_another_block_of_the_same_height_is_told(l1: Client) -> None:
    """The head's number alone says nothing."""
    await mine(l1, 5)
    reader = Reader(l1)
    await reader.catch_up(l1)
    await l1.call("anvil_reorg", 1, [])
    await reader.catch_up(l1)
    assert [4] == reader.rewound
    assert await hashes(l1) == told(reader)


class Weather:
    """Random moves of L1, and the truth about every block that it ever had."""

    def __init__(self, l1: Client, portals: list[str], seed: int) -> None:
        self.rng = random.Random(seed)
        self.known: dict[str, dict[str, Any]] = {}
        self._l1, self._portals = l1, portals

    async def move(self) -> None:
        """Something happens on L1."""
        moves = [self.fill, self._skip, self._reorganise, self._shrink]
        await self.rng.choices(moves, [6, 1, 1, 1])[0]()
        for number, digest in enumerate(await hashes(self._l1)):
            if digest not in self.known:
                self.known[digest] = await truth(self._l1, number, self._portals, [INBOX])

    async def fill(self) -> None:
        """A block with some deposits and batches."""
        for _ in range(self.rng.choice([0, 1, 5])):
            call = deposit_call(STRANGER, self.rng.randrange(9), data=self.rng.randbytes(4))
            await send(self._l1, self.rng.choice(self._portals), call)
            await send(self._l1, INBOX, self.rng.randbytes(30), sender=self.rng.choice([STRANGER, OWNER]))
        await mine(self._l1)

    async def _skip(self) -> None:
        await mine(self._l1, self.rng.randint(1, 30))

    async def _reorganise(self) -> None:
        await self._l1.call("anvil_reorg", await self._depth(), [])

    async def _shrink(self) -> None:
        await self._l1.call("anvil_rollback", await self._depth())

    async def _depth(self) -> int:
        head = int(await self._l1.call("eth_blockNumber"), 16)
        return self.rng.choice([1, min(2, head), self.rng.randint(1, head)])


async def test_any_history_ends_in_the_truth(l1: Client) -> None:
    """200 random moves of L1, read at random moments: each block told was one of L1's, and the end is L1's chain."""
    seed = 17
    portals = await deploy_portals(l1, 2)
    weather = Weather(l1, portals, seed)
    reader = Reader(l1, portals)
    await weather.fill()
    for _ in range(200):
        await weather.move()
        for _ in range(weather.rng.choice([0, 0, 1, 3, 10])):
            if told(reader) != await hashes(l1):
                await reader.step()
                assert not reader.chain or reader.chain[-1].info.hash in weather.known
    await reader.catch_up(l1)

    assert await hashes(l1) == told(reader), f"seed {seed}"
    expected = [weather.known[digest] for digest in told(reader)]
    assert [each["deposits"] for each in expected] == [dict(block.deposits) for block in reader.chain]
    assert [each["batches"] for each in expected] == [
        [(each.hash, each.sender, each.inbox, each.data) for each in block.batches] for block in reader.chain
    ]
    assert len(reader.rewound) > 10


@pytest.mark.parametrize("tear", [False, True])
@pytest.mark.parametrize("moment", range(6))
async def test_l1_may_move_between_any_two_calls(l1: Client, moment: int, *, tear: bool) -> None:
    """A reorganisation before the n-th batch of questions or in its middle, whichever n, is told as any other."""
    (portal,) = await deploy_portals(l1)
    await mine(l1, 5)
    async with Meddled(l1.url, tear=tear) as client:
        reader = Reader(client, [portal])
        await reader.catch_up(l1)
        for number in range(30):
            await send(l1, portal, deposit_call(STRANGER, number))
            await mine(l1)
        await l1.call("anvil_reorg", 32, [])
        await send(l1, portal, deposit_call(STRANGER, 99))
        await mine(l1)
        moves: list[Callable[[], Awaitable[Any]]] = [
            partial(l1.call, "anvil_rollback", 30),
            partial(l1.call, "anvil_reorg", 3, []),
            partial(mine, l1, 3),
        ]
        for move in moves:
            client.actions = [*[None] * moment, move]
            while client.actions:
                await reader.step()
            await reader.catch_up(l1)
            assert await hashes(l1) == told(reader)
            await send(l1, portal, deposit_call(STRANGER, 98))
            await mine(l1, 33)
        await reader.catch_up(l1)

        assert await hashes(l1) == told(reader)
        expected = [await truth(l1, block.info.number, [portal], []) for block in reader.chain]
        assert [each["deposits"] for each in expected] == [dict(block.deposits) for block in reader.chain]


@contextlib.asynccontextmanager
async def running(port: int, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """An anvil on a given port, killed at the end if it still runs."""
    fixed = ("--host", "127.0.0.1", "--port", str(port), "--no-mining", "--accounts", "0", "--quiet")
    process = await asyncio.create_subprocess_exec(str(anvil_binary()), *fixed, *arguments)
    try:
        async with asyncio.timeout(LONG_S), Client(f"http://127.0.0.1:{port}") as client:
            while True:
                try:
                    await client.call("eth_blockNumber")
                    break
                except PeerUnreachable:
                    await asyncio.sleep(0.01)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await asyncio.shield(process.wait())


async def test_an_l1_that_comes_back_older_or_as_another(tmp_path: Path) -> None:
    """Down, L1 tells nothing; restarted from an older state it is rewound to that; with another genesis, to nothing."""
    state = tmp_path / "state.json"
    with PortReservations() as ports:
        port = ports.reserve()
        async with Client(f"http://127.0.0.1:{port}") as l1:
            reader = Reader(l1)
            waiting = asyncio.create_task(reader.step())  # L1 is not there yet
            async with running(port, "--state", str(state)) as process:
                await waiting
                await mine(l1, 5)
                process.send_signal(signal.SIGTERM)
                await process.wait()
            async with running(port, "--load-state", str(state)):
                await mine(l1, 30)
                await reader.catch_up(l1)
                before = told(reader)
            waiting = asyncio.create_task(reader.step())
            async with running(port, "--load-state", str(state)):
                assert Rewound(5) == await waiting
                await mine(l1, 2)
                await reader.catch_up(l1)
                assert before[:6] == told(reader)[:6]
                assert await hashes(l1) == told(reader)
            waiting = asyncio.create_task(reader.step())
            async with running(port, "--timestamp", "1234567"):
                assert Rewound(-1) == await waiting
                await mine(l1, 2)
                await reader.catch_up(l1)
                assert await hashes(l1) == told(reader)


async def test_finalized_is_refreshed(l1: Client) -> None:
    """The finalized block's number is L1's own, also after it went back."""
    reader = Reader(l1)
    for move in (partial(mine, l1, 80), partial(mine, l1, 25), partial(l1.call, "anvil_rollback", 20)):
        await move()
        await reader.catch_up(l1)
        finalized = await l1.call("eth_getBlockByNumber", "finalized", False)
        assert int(finalized["number"], 16) == reader.follower.finalized
    assert 85 == reader.follower.latest


async def test_catching_up_takes_few_questions(l1: Client) -> None:
    """1000 empty blocks take two requests for each 20 of them; a deep reorganisation is located in a handful."""
    await mine(l1, 1_000)
    async with Meddled(l1.url) as client:
        reader = Reader(client)
        await reader.catch_up(l1)
        assert client.batches <= 2 * (1_000 // ROUND + 1)
        assert 0 == client.calls["eth_getLogs"]
        await l1.call("anvil_reorg", 700, [])
        client.batches = 0
        assert Rewound(300) == await reader.step()
        assert client.batches <= 15
        await reader.close()


async def test_iterating_again_goes_on(l1: Client) -> None:
    """A second iteration continues behind the last block told."""
    await mine(l1, 30)
    follower = L1Follower(l1, [], [], poll_s=POLL_S)
    numbers = []
    for stop in (3, 25, 30):
        async with contextlib.aclosing(follower.changes()) as changes:
            async for change in changes:
                assert isinstance(change, L1Block)
                numbers.append(change.info.number)
                if change.info.number == stop:
                    break
    assert list(range(31)) == numbers


class Scripted(Client):
    """A client with an answer, or an error, for everything."""

    def __init__(self, answer: Any) -> None:
        super().__init__("http://127.0.0.1:1")
        self.answer = answer
        self.batches = 0

    async def batch(self, calls: Any, deadline: float | None = None) -> list[Any]:
        """The same for all."""
        self.batches += 1
        await asyncio.sleep(0)
        answer = self.answer() if callable(self.answer) else self.answer
        if isinstance(answer, PeerUnreachable):
            raise answer
        return [answer] * len(calls)


def _random_head() -> Any:
    return {"number": "0x7", "hash": to_hex(keccak256(random.randbytes(8)))}


@pytest.mark.parametrize(
    "answer",
    [
        None,
        7,
        [],
        "0x",
        {"number": "0x0"},
        {"number": "0x5", "hash": "0x" + "00" * 32},
        {"number": "0x9", "hash": "0x" + "11" * 32, "parentHash": "0x" + "22" * 32},
        RpcError(-32000, "not today"),
        PeerUnreachable("down"),
        _random_head,
    ],
)
def test_an_l1_that_makes_no_sense_is_waited_for(answer: Any) -> None:
    """Whatever comes, the follower tells nothing, doesn't break, and asks at its interval, not in a loop."""
    client = Scripted(answer)

    async def main() -> None:
        follower = L1Follower(client, [], [], poll_s=0.5)
        follower._told = [bytes(32)] * 6
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60.25):
                await anext(follower.changes())

    run_virtual(main())
    assert 120 <= client.batches <= 500


def test_no_block_is_told_twice_while_nothing_happens() -> None:
    """A head as told is not read again."""
    info = L1Info(0, "0x" + "ab" * 32, "0x" + "00" * 32, 1, 1, 1)
    client = Scripted({"number": "0x0", "hash": info.hash})

    async def main() -> None:
        follower = L1Follower(client, [], [], poll_s=0.5)
        follower._told = [bytes.fromhex(info.hash[2:])]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(10.25):
                await anext(follower.changes())

    run_virtual(main())
    assert 21 == client.batches
