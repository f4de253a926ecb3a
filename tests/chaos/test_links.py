"""Faults on single links of a running devnet: they bite, are counted, change no result, and are over once healed."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import pytest_asyncio

from bridge.wire.errors import PeerUnreachable
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.stages import Stage
from orchestrator.devnet import Devnet
from orchestrator.errors import RollnetError
from orchestrator.links.errors import NoSuchLink
from orchestrator.links.faults import Direction, LinkFault, LinkFaultKind
from orchestrator.links.handle import LinksHandle
from orchestrator.node_handles import LocalNodes
from orchestrator.topology.plan import Account
from orchestrator.tracing import load_traces
from orchestrator.waiting import eventually
from shared_sequencer.rollups import STAGE_SECONDS

pytestmark = [pytest.mark.chaos, pytest.mark.asyncio(loop_scope="module")]

SLOTS = "messaging: {mode: shared-sequencer, slot: 100ms}"
BUSY = "{engine: evm, block_time: 500ms}"
INJECTED_S = 0.15
Leg = Callable[..., str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def net(launched: Any, topology_file: Callable[..., Path]) -> AsyncIterator[Devnet]:
    """A pair whose nodes talk over links."""
    file = topology_file("links", extra=SLOTS, alpha=BUSY, beta=BUSY)
    async with launched(file, chaos=True) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def links(net: Devnet) -> AsyncIterator[LinksHandle]:
    """All healed afterwards, and both rollups in the slots."""
    assert net.links is not None
    yield net.links
    await net.links.heal_all()

    async def all_up() -> bool:
        return {"up"} == set((await states(net)).values())

    await eventually(all_up, 10, "both rollups in the slots again")


def fault(
    kind: str, match: str = "*", source: str = "sequencer", target: str = "*", **fields: Any
) -> LinkFault:
    """A fault that is named after its kind."""
    return LinkFault(kind, source, target, LinkFaultKind(kind), match=match, **fields)


async def states(net: Devnet) -> dict[str, str]:
    """How the sequencer sees its rollups."""
    return {name: rollup["state"] for name, rollup in (await net.sequencer.status())["rollups"].items()}


class Sender:
    """Sends bundles of one transfer on each rollup, for one user, whose nonces it counts."""

    def __init__(self, net: Devnet, user: Account, signed: Leg, sink: str) -> None:
        self.net, self.user, self.signed, self.sink = net, user, signed, sink
        self.sent = 0

    def legs(self) -> list[bytes]:
        """The next bundle's."""
        chains = (self.net.rollup("alpha"), self.net.rollup("beta"))
        self.sent += 1
        return [
            from_hex(self.signed(self.user, chain, self.sent - 1, to=self.sink, value=1)) for chain in chains
        ]

    async def commit(self) -> str:
        """One bundle, to its end; returns its hash."""
        digest = await self.net.sequencer.send_bundle(self.legs(), int(time.time()) + 15, bytes(32))
        await self.ended(digest)
        return digest

    async def ended(self, digest: str) -> None:
        """Wait until a bundle is committed."""
        end = await self.net.sequencer.rpc("rollnet_waitForEnd", digest, 15.0)
        assert "committed" == end["status"], end

    async def received(self) -> dict[str, int]:
        """What has arrived on each rollup."""
        return {
            name: int(await self.net.rollup(name).rpc("eth_getBalance", self.sink, "latest"), 16)
            for name in ("alpha", "beta")
        }

    async def all_arrived(self, count: int) -> None:
        """Wait until nodes serve so many bundles, and no more than that."""

        async def there() -> bool:
            return {"alpha": count, "beta": count} == await self.received()

        await eventually(there, 10, f"{count} transfers on both rollups")


@pytest.fixture
def sender(net: Devnet, signed: Leg, request: pytest.FixtureRequest) -> Sender:
    """A user and a recipient of each test's own."""
    number = [item.name for item in request.session.items if item.path == request.path].index(
        request.node.name
    )
    return Sender(net, net.accounts[number], signed, to_hex(bytes(19) + bytes([0xA0 + number])))


async def staging_s(net: Devnet, bundles: list[str]) -> float:
    """How long it took from the order to the last staged leg, by the traces; the median, seconds."""

    def read() -> float:
        took = []
        traces = load_traces(net.directory.path).traces
        for digest in bundles:
            at = {stage: [e.mono_ns for e in traces[digest].events if e.event == stage] for stage in Stage}
            took.append((max(at[Stage.LEG_STAGED]) - min(at[Stage.SEQUENCED])) / 1e9)
        return median(took)

    return await asyncio.to_thread(read)


async def test_nodes_talk_over_links(net: Devnet, links: LinksHandle, sender: Sender) -> None:
    """Bundles commit, every link that carries them is in use, and another client sees the same links."""
    await sender.commit()
    used = {name for name, count in (await links.status())["links"].items() if count}
    assert {"sequencer→alpha:control", "sequencer→beta:control", "alpha→l1:http"} <= used
    with pytest.raises(NoSuchLink, match="sequencer→beta:control"):
        await links.apply(fault("reset", target="gamma"))
    async with Devnet.attach(net.name, state=net.directory.path.parents[2]) as attached:
        assert attached.links is not None
        assert await links.names() == await attached.links.names()


async def test_a_delay_is_seen_where_it_was_injected(net: Devnet, links: LinksHandle, sender: Sender) -> None:
    """Staging takes longer by what was injected, in the traces; afterwards it is as quick as before."""
    before = await staging_s(net, [await sender.commit() for _ in range(5)])
    await links.apply(fault("delay", "rollup_stage", latency_s=INJECTED_S))
    during = await staging_s(net, [await sender.commit() for _ in range(5)])
    assert await links.heal("delay") >= 10
    after = await staging_s(net, [await sender.commit() for _ in range(5)])
    assert INJECTED_S * 0.95 <= during - before <= INJECTED_S * 1.8
    assert after < INJECTED_S


async def test_duplicates_change_nothing(net: Devnet, links: LinksHandle, sender: Sender) -> None:
    """Orders to nodes delivered twice, at once or late, and a bundle sent twice: every transfer happens once."""
    assert isinstance(net.nodes, LocalNodes)
    over_link = net.nodes.runtime.endpoint("links", "alpha_sequencer_http")
    await links.apply(LinkFault("now", "sequencer", "*", LinkFaultKind.DUPLICATE, match="rollup_*"))
    late = LinkFaultKind.DUPLICATE
    await links.apply(
        LinkFault("late", "sequencer", "*", late, match="rollup_*", latency_s=0.3, jitter_s=0.3)
    )
    await links.apply(fault("duplicate", "eth_sendBundle", source="alpha", target="sequencer"))
    async with Client(over_link) as client:
        for salt in range(8):
            body = {
                "txs": [to_hex(leg) for leg in sender.legs()],
                "maxTimestamp": int(time.time()) + 15,
                "salt": to_hex(salt.to_bytes(32)),
            }
            await sender.ended((await client.call("eth_sendBundle", body))["bundleHash"])
    await sender.all_arrived(8)
    assert {"up"} == set((await states(net)).values()), "nobody took a duplicate for something new"
    touched = await links.heal_all()
    assert 8 == touched["duplicate"]
    assert min(touched["now"], touched["late"]) >= 16
    await sender.commit()
    await sender.all_arrived(9)


async def test_lost_answers_to_commit_lose_nothing(net: Devnet, links: LinksHandle, sender: Sender) -> None:
    """The node has served the block, the sequencer does not know: they agree again, and nothing happens twice."""
    await links.apply(
        fault("drop", "rollup_commit", direction=Direction.RESPONSE, hold_s=0.1, probability=0.5)
    )
    digests = [
        await net.sequencer.send_bundle(sender.legs(), int(time.time()) + 15, bytes(32)) for _ in range(6)
    ]
    for digest in digests:
        await sender.ended(digest)

    async def bitten() -> bool:
        return await links.touched("drop") >= 2

    await eventually(bitten, 10, "two lost answers")
    await links.heal("drop")
    await sender.all_arrived(6)


async def test_torn_connections_are_made_again(net: Devnet, links: LinksHandle, sender: Sender) -> None:
    """Everything between sequencer and alpha reset for a while, under load: what was acknowledged commits."""
    await sender.commit()
    await links.apply(fault("reset", target="alpha"))
    waiting = asyncio.create_task(net.sequencer.send_bundle(sender.legs(), int(time.time()) + 15, bytes(32)))
    with_alpha = await _settled(waiting)

    async def left_out() -> bool:
        return "down" == (await states(net))["alpha"]

    await eventually(left_out, 5, "alpha to be left out")
    assert await links.heal("reset") >= 1
    if with_alpha is not None:
        await sender.ended(with_alpha)
    else:
        sender.sent -= 1  # refused, with nothing done
    await _until_up(net, "alpha")
    await sender.commit()


async def test_a_blackhole_stops_only_what_needs_the_link(
    net: Devnet,
    links: LinksHandle,
    sender: Sender,
    signed: Leg,
    receipt_of: Callable[..., Awaitable[Mapping[str, Any]]],
) -> None:
    """The sequencer can't reach beta, and its requests hang: alpha's own transactions go on, and beta is back once healed."""
    await sender.commit()
    await links.apply(fault("blackhole", target="beta"))
    alpha, other = net.rollup("alpha"), net.accounts[9]

    async def left_out() -> bool:
        return "down" == (await states(net))["beta"]

    await eventually(left_out, STAGE_SECONDS + 5, "beta to be left out")
    began = time.monotonic()
    for nonce in range(3):
        receipt = await receipt_of(
            alpha, await alpha.rpc("eth_sendRawTransaction", signed(other, alpha, nonce))
        )
        assert "0x1" == receipt["status"]
    assert time.monotonic() - began < STAGE_SECONDS, "nobody waits for beta any more"
    assert await links.heal("blackhole") >= 1
    await _until_up(net, "beta")
    await sender.commit()
    await sender.all_arrived(2)


async def _settled(sending: "asyncio.Task[str]") -> str | None:
    """The bundle's hash, or None if it was refused because a rollup is down."""
    try:
        return await sending
    except (RollnetError, PeerUnreachable):
        return None


async def _until_up(net: Devnet, name: str) -> None:
    async def up() -> bool:
        return "up" == (await states(net))[name]

    await eventually(up, 10, f"{name} in the slots again")
