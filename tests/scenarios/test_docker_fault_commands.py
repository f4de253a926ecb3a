"""``rollnet fault`` on a running devnet of containers: what each fault does to bundles, and that they commit again once it is healed.

One bundle tells it all: it has a leg on each of two rollups, so it commits only if its sequencer reaches both.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from bridge.wire.keccak import from_hex
from orchestrator.chains import ChainUnreachable, Refused
from orchestrator.cli.testing import Said, said, within
from orchestrator.devnet import Devnet
from orchestrator.registry import Registry
from orchestrator.runtimes.docker.testing import NOTHING, footprint
from orchestrator.waiting import eventually

pytestmark = [
    pytest.mark.docker,
    pytest.mark.usefixtures("image"),
    pytest.mark.asyncio(loop_scope="module"),
]

NAME = "faulty"
LIFETIME_S = 120
"""Of bundles: longer than any fault here."""
SILENCE_S = 1.0
"""Who says nothing for so long is frozen."""
COMMITS_S = 60.0
BALLAST, RATE = 4_000, 20_000
"""Bytes of calldata in a leg, and a second that may leave the sequencer."""
SLOW_S = 2 * 2 * BALLAST / RATE
"""Two legs, in hexadecimal."""


@dataclass
class Faulty:
    """The devnet as its user has it: commands, and a client of its endpoints."""

    net: Devnet
    home: Path
    signed: Callable[..., str]
    user: int = -1
    """Who signs: each test has one of its own."""
    nonce: int = 0
    """The user's next one."""

    async def fault(self, *arguments: str) -> Any:
        """``rollnet fault … --json``, which has to end well; its document."""
        return (await self.right("fault", *arguments, "--json")).json

    async def right(self, *arguments: str) -> Said:
        """A command that has to end well."""
        found = await within(self.home, *arguments)
        assert 0 == found.code, (arguments, found)
        return found

    async def send(self, ballast: int = 0) -> str:
        """Hash of the user's next bundle with a leg on each rollup, acknowledged by the sequencer."""
        digest = await self._send(self.nonce, ballast)
        self.nonce += 1
        return digest

    async def send_ahead(self) -> str:
        """Hash of the user's next bundle but one: acknowledged, and without an end before the next one has its."""
        return await self._send(self.nonce + 1)

    async def ends_ahead(self, digest: str) -> None:
        """Send the one that it waits for, as soon as the sequencer takes it; both commit."""
        assert "pending" == await self.state(digest)
        await self.lives_on()
        self.nonce += 1
        await self.committed(digest)

    async def _send(self, nonce: int, ballast: int = 0) -> str:
        user = self.net.accounts[self.user]
        more = {"data": b"\x01" * ballast, "gas": 100_000 + 40 * ballast}
        legs = [from_hex(self.signed(user, chain, nonce, **more)) for chain in self.net.rollups.values()]
        return await self.net.sequencer.send_bundle(legs, int(time.time()) + LIFETIME_S, bytes(32))

    async def state(self, digest: str) -> str:
        """What became of a bundle."""
        found = await self.net.bundle(digest)
        assert found is not None, "it was acknowledged"
        return str(found["status"])

    async def committed(self, digest: str) -> None:
        """Wait until a bundle has; no other end is as good."""

        async def there() -> bool:
            state = await self.state(digest)
            assert state in ("pending", "committed"), state
            return state == "committed"

        await eventually(there, COMMITS_S, f"the commit of {digest}", every_s=0.02)

    async def lives_on(self) -> None:
        """Nothing is in force, and as soon as all rollups take part again a bundle commits."""
        assert [] == (await self.fault("list"))["in_force"]
        await self.committed(await self.acknowledged())

    async def acknowledged(self) -> str:
        """Hash of the user's next bundle, sent again as long as the sequencer says that it can't take it now."""
        sent: list[str] = []

        async def taken() -> bool:
            with contextlib.suppress(Refused):
                sent.append(await self.send())
            return bool(sent)

        await eventually(taken, COMMITS_S, "a bundle to be acknowledged", every_s=0.05)
        return sent[0]

    async def node(self, name: str) -> Any:
        """A node, as ``rollnet status`` tells."""
        (devnet,) = (await self.right("status", NAME, "--json")).json["devnets"]
        return next(node for node in devnet["nodes"] if node["name"] == name)

    def told(self, node: str) -> list[Any]:
        """A node's journal."""
        lines = self.net.directory.journal_of(node).read_bytes().splitlines()
        return [orjson.loads(line) for line in lines]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def devnet(
    module_home: Path, repository: Path, topology_file: Callable[..., Path], signed: Callable[..., str]
) -> AsyncIterator[Faulty]:
    """Two rollups and their sequencer, for the whole module, launched and taken down by commands."""
    file = topology_file(NAME, extra="messaging: {slot: 100ms}\naccounts: 20")
    try:
        up = await said(module_home, repository, "up", str(file), "--runtime", "docker", "--detach", "--json")
        assert (0, "docker") == (up.code, up.json["runtime"]["kind"]), up
        async with Devnet.attach(NAME, state=module_home) as net:
            yield Faulty(net, module_home, signed)
        down = await said(module_home, repository, "down", NAME, "--json")
        assert (0, []) == (down.code, down.json["left_behind"]), down
        assert footprint(module_home) == NOTHING
    finally:
        await within(module_home, "down", NAME)
        Registry(module_home).sweep()


@pytest_asyncio.fixture(loop_scope="module")
async def faulty(devnet: Faulty) -> AsyncIterator[Faulty]:
    """The same for each test, with a user whom the sequencer knows; healed and whole afterwards."""
    devnet.user, devnet.nonce = devnet.user + 1, 0
    await devnet.lives_on()
    yield devnet
    for name in ("sequencer", *devnet.net.rollups):
        await within(devnet.home, "fault", "heal", name)
        if (await devnet.node(name))["state"] != "ready":
            await devnet.right("node", "restart", name)


async def test_what_is_possible(faulty: Faulty) -> None:
    """Every kind of fault, and none is in force."""
    kinds = ["unplug", "blackhole", "reset", "throttle", "packet-loss", "out-of-memory", "disk-full"]
    assert {"possible": kinds, "in_force": []} == await faulty.fault("list")


@pytest.mark.parametrize(
    "arguments",
    [
        ("unplug", "beta"),
        ("blackhole", "beta", "--peer", "sequencer"),
        ("reset", "beta", "--peer", "sequencer"),
    ],
    ids=lambda arguments: arguments[0],
)
async def test_cut_off(faulty: Faulty, arguments: tuple[str, ...]) -> None:
    """What needs a rollup that is out of reach is refused; what was taken before commits when that is healed. Users reach everybody."""
    ahead = await faulty.send_ahead()
    injected = await faulty.fault("inject", *arguments)
    assert (True, [injected["fault"]]) == (injected["bit"], (await faulty.fault("list"))["in_force"])
    with pytest.raises(Refused, match="beta"):
        await faulty.send()
    assert int(await faulty.net.rollup("beta").rpc("eth_chainId"), 16) > 0
    (healed,) = (await faulty.fault("heal", "beta"))["healed"]
    assert (True, injected["fault"]) == (healed["healed"], healed["fault"])
    await faulty.ends_ahead(ahead)


async def test_of_one_link(faulty: Faulty) -> None:
    """A black hole between relayer and rollup is nobody else's: bundles commit all the while."""
    await faulty.fault("inject", "blackhole", "relayer", "--peer", "alpha")
    await faulty.committed(await faulty.send())
    await faulty.fault("heal", "relayer")
    await faulty.lives_on()


async def test_throttled(faulty: Faulty) -> None:
    """What leaves the sequencer takes as long as its bytes at that rate; healed it is as fast as before."""

    async def took() -> float:
        began = time.monotonic()
        await faulty.committed(await faulty.send(BALLAST))
        return time.monotonic() - began

    before = await took()
    injected = await faulty.fault("inject", "throttle", "sequencer", "--rate", str(RATE))
    assert injected["bit"], injected
    slow = await took()
    assert slow >= SLOW_S
    await faulty.fault("heal", "sequencer", "throttle")
    assert max(before, await took()) < slow
    await faulty.lives_on()


async def test_lost_packets(faulty: Faulty) -> None:
    """With a third of the packets to a rollup lost, bundles take their time and commit."""
    injected = await faulty.fault("inject", "packet-loss", "alpha", "--share", "0.3")
    assert (True, 0.3) == (injected["bit"], injected["fault"]["share"]), injected
    await faulty.committed(await faulty.acknowledged())
    await faulty.fault("heal", "alpha")
    await faulty.lives_on()


async def test_for_a_while(faulty: Faulty) -> None:
    """With a time it is healed by itself, and both ends are told. One packet in a hundred is seen to be lost, too."""
    told = await faulty.fault("inject", "packet-loss", "alpha", "--share", "0.01", "--for", "300ms")
    assert (True, True) == (told["bit"], told["healed"])
    await faulty.lives_on()


@pytest.mark.parametrize("node", ["sequencer", "alpha"])
async def test_out_of_memory(faulty: Faulty, node: str) -> None:
    """The kernel ends a node. It comes back from its volume with all that was acknowledged, and its journal has every word of both lives."""
    boot = (await faulty.node(node))["boot"]
    ahead = await faulty.send_ahead()
    before = faulty.told(node)
    injected = await faulty.fault("inject", "out-of-memory", node)
    assert (True, True) == (injected["bit"], "oom" in injected["evidence"]), injected
    ended = await faulty.node(node)
    assert ("killed", boot) == (ended["state"], ended["boot"])
    assert "killed by the kernel: out of memory" in (await faulty.right("logs", node)).out
    back = (await faulty.right("node", "restart", node, "--json")).json
    assert ("ready", boot + 1) == (back["state"], back["boot"])
    await faulty.ends_ahead(ahead)
    after = faulty.told(node)
    assert before == after[: len(before)]
    assert 1 == len({line["boot"] for line in after} - {line["boot"] for line in before})


async def test_a_full_disk(faulty: Faulty) -> None:
    """A sequencer that can't log acknowledges nothing and ends; with room again it comes back and knows what it had."""
    bundle = await faulty.send()
    await faulty.committed(bundle)
    injected = await faulty.fault("inject", "disk-full", "sequencer")
    assert injected["bit"], injected

    async def ended() -> bool:
        return bool((await faulty.node("sequencer"))["state"] == "exited")

    await eventually(ended, 10.0, "the end of a sequencer that can't write", every_s=0.05)
    with pytest.raises(ChainUnreachable):
        await faulty.send()
    await faulty.fault("heal", "sequencer")
    assert "ready" == (await faulty.right("node", "restart", "sequencer", "--json")).json["state"]
    assert "committed" == await faulty.state(bundle)
    await faulty.lives_on()


async def test_frozen(faulty: Faulty) -> None:
    """A paused sequencer says nothing, and forgets nothing: what it was told before has its end when it goes on."""
    ahead = await faulty.send_ahead()
    assert "paused" == (await faulty.right("node", "pause", "sequencer", "--json")).json["state"]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SILENCE_S):
            await faulty.net.sequencer.status()
    assert "ready" == (await faulty.right("node", "resume", "sequencer", "--json")).json["state"]
    await faulty.ends_ahead(ahead)
