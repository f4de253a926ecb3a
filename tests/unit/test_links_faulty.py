"""Faults on a link do to messages and connections what they say, count what they did, and let go when they are healed."""

import asyncio
from collections.abc import Callable

import aiohttp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.errors import PeerUnreachable
from bridge.wire.jsonrpc import Client
from orchestrator.links.errors import InvalidLinkFault, LinkFaultTaken, LinksUnreachable, NoSuchLink
from orchestrator.links.faults import Direction, LinkFault, LinkFaultKind
from orchestrator.links.handle import LinksHandle
from orchestrator.links.rpc import serve_control
from orchestrator.links.testing import ALPHA_TO_BETA, OneLink, fault, linked_rpc, linked_tcp, taking
from orchestrator.runtimes.ports import LOOPBACK, PortReservations
from orchestrator.waiting import eventually

REQUEST, RESPONSE, BOTH = Direction.REQUEST, Direction.RESPONSE, Direction.BOTH


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that happens beside the test."""

    async def look() -> bool:
        return holds()

    await eventually(look, 3, "what the link does", every_s=0.005)


@pytest.mark.parametrize(("direction", "times"), [(REQUEST, 1), (RESPONSE, 1), (BOTH, 2)])
async def test_delay_takes_so_much_longer(direction: Direction, times: int) -> None:
    """One way or both, counted for each message; other methods are not late."""
    async with linked_rpc() as link:
        link.apply("delay", latency_s=0.06, match="slow*", direction=direction)
        with taking(0.06 * times, 0.06 * times + 0.25):
            await link.client.call("slow_call")
        with taking(0, 0.05):
            await link.client.call("quick")
        assert times == link.proxy.heal("delay")


async def test_a_delay_is_not_a_queue() -> None:
    """Messages of one link are late together, not one after the other."""
    async with linked_rpc() as link:
        link.apply("delay", latency_s=0.1, jitter_s=0.05)
        with taking(0.05, 0.5):
            async with asyncio.TaskGroup() as group:
                for number in range(20):
                    group.create_task(link.client.call("x", number))
        assert 20 == link.proxy.touched("delay")


async def test_throttle_is_shared_by_all_connections() -> None:
    """Twenty kilobytes take a second at twenty kilobytes a second, however many connections carry them."""
    async with linked_rpc() as link:
        link.apply("throttle", bytes_per_s=100_000)
        with taking(0.35, 1.5):
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(link.client.call("x", "y" * 10_000))
        with taking(0.09, 0.6):
            await link.client.call("x", "y" * 10_000)
        assert 5 == link.proxy.heal("throttle")


async def test_a_dropped_request_is_never_delivered() -> None:
    """Its connection breaks after a while, at once when the fault is healed, and other methods pass."""
    async with linked_rpc() as link:
        link.apply("drop", match="lost", hold_s=0.1)
        with taking(0.1, 0.6), pytest.raises(PeerUnreachable):
            await link.client.call("lost")
        await link.client.call("kept")
        assert (["kept"], 1) == (link.asked.methods, link.proxy.heal("drop"))
        link.apply("drop", hold_s=60)
        waiting = asyncio.create_task(link.client.call("lost"))
        await until(lambda: link.proxy.touched("drop") == 1)
        link.proxy.heal("drop")
        with taking(0, 0.5), pytest.raises(PeerUnreachable):
            await waiting
        assert ["x"] == await link.client.call("x")


async def test_a_dropped_answer_leaves_its_effect() -> None:
    """The request was delivered, and the caller can't know."""
    async with linked_rpc() as link:
        link.apply("drop", direction=RESPONSE, hold_s=0.1)
        with taking(0.1, 0.6), pytest.raises(PeerUnreachable):
            await link.client.call("done")
        assert (["done"], 1) == (link.asked.methods, link.proxy.heal("drop"))


async def test_a_duplicate_is_delivered_twice_and_answered_once() -> None:
    """A batch matches by one of its calls; a copy can come later, and comes at once when healed."""
    async with linked_rpc() as link:
        link.apply("duplicate", match="pay")
        assert [["see"], ["pay", 1]] == await link.client.batch([("see", []), ("pay", [1])])
        await until(lambda: link.proxy.touched("duplicate") == 1)
        await until(lambda: sorted(link.asked.methods) == ["pay", "pay", "see", "see"])
        link.proxy.heal("duplicate")
        link.asked.methods.clear()
        link.apply("duplicate", latency_s=60)
        await link.client.call("pay")
        assert ["pay"] == link.asked.methods
        assert 0 == link.proxy.touched("duplicate"), "it has not happened yet"
        link.proxy.heal("duplicate")
        await until(lambda: link.asked.methods == ["pay", "pay"])


async def test_reorder_swaps_neighbours() -> None:
    """A request waits until the next one was answered; alone it waits no longer than it may, and that does not count."""
    async with linked_rpc() as link:
        link.apply("reorder", hold_s=2)
        async with asyncio.TaskGroup() as group:
            for name in "abcd":
                group.create_task(link.client.call(name))
                await asyncio.sleep(0.03)  # sent in this order
        assert (["b", "a", "d", "c"], 2) == (link.asked.methods, link.proxy.heal("reorder"))
        link.apply("reorder", hold_s=0.1)
        with taking(0.1, 0.6):
            await link.client.call("alone")
        assert 0 == link.proxy.heal("reorder")
        link.apply("reorder", hold_s=60)
        waiting = asyncio.create_task(link.client.call("alone"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        link.proxy.heal("reorder")
        assert ["alone"] == await waiting


async def test_a_request_that_is_gone_is_not_waited_for() -> None:
    """Its connection is reset while it waits to be overtaken: the next request is kept back in its place."""
    async with linked_rpc() as link:
        link.apply("reorder", hold_s=60)
        first = asyncio.create_task(link.client.call("gone"))
        await asyncio.sleep(0.05)
        link.apply("reset")
        with pytest.raises(PeerUnreachable):
            await first
        link.proxy.heal("reset")
        async with asyncio.TaskGroup() as group:
            for name in "ab":
                group.create_task(link.client.call(name))
                await asyncio.sleep(0.03)
        assert (["b", "a"], 1) == (link.asked.methods, link.proxy.heal("reorder"))


async def test_a_blackhole_takes_everything_and_gives_nothing_until_healed() -> None:
    """Open connections, answers on their way and new connections; whoever still waits is answered afterwards."""
    async with linked_rpc() as link, Client(f"http://{LOOPBACK}:{link.port}") as other:
        await link.client.call("before")
        link.asked.gate.clear()
        answered = asyncio.create_task(link.client.call("asked"))
        await until(lambda: link.asked.methods == ["before", "asked"])
        link.apply("blackhole")
        link.asked.gate.set()
        fresh = asyncio.create_task(other.call("new"))
        with pytest.raises(PeerUnreachable):
            await other.call("impatient", deadline=0.1)
        await until(lambda: link.proxy.status()["links"] == {ALPHA_TO_BETA: 2})
        assert (False, False) == (answered.done(), fresh.done())
        assert ["before", "asked"] == link.asked.methods
        assert 3 == link.proxy.heal("blackhole")
        assert [["asked"], ["new"]] == [await answered, await fresh]
        await link.client.call("after")
        assert ["before", "asked", "new", "after"] == link.asked.methods, "who has gone is not heard any more"


async def test_what_was_sent_into_a_blackhole_arrives_late() -> None:
    """On a connection that was open before, as the network would send it again, though its caller has given up."""
    async with linked_rpc() as link:
        await link.client.call("before")
        link.apply("blackhole")
        with pytest.raises(PeerUnreachable):
            await link.client.call("stale", deadline=0.05)
        link.proxy.heal("blackhole")
        await until(lambda: link.asked.methods == ["before", "stale"])


async def test_reset_tears_down_all_connections() -> None:
    """Those that wait for an answer, idle ones, and new ones until it is healed."""
    async with linked_rpc() as link:
        await link.client.call("before")
        link.asked.gate.clear()
        waiting = asyncio.create_task(link.client.call("asked"))
        await until(lambda: "asked" in link.asked.methods)
        link.apply("reset")
        with taking(0, 0.5), pytest.raises(PeerUnreachable) as found:
            await waiting
        assert isinstance(found.value.__cause__, aiohttp.ClientOSError), "a reset, not an end"
        link.asked.gate.set()
        with pytest.raises(PeerUnreachable):
            await link.client.call("new")
        assert (2, {ALPHA_TO_BETA: 0}) == (link.proxy.heal("reset"), link.proxy.status()["links"])
        assert ["x"] == await link.client.call("x")


async def test_resets_reach_both_ends() -> None:
    """The target sees a reset as well, not an end of stream."""
    ends: asyncio.Queue[str] = asyncio.Queue()

    async def listen(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        try:
            await reader.readexactly(100)
        except ConnectionResetError:
            ends.put_nowait("reset")
        except asyncio.IncompleteReadError:
            ends.put_nowait("ended")

    async with linked_tcp(listen) as link, asyncio.timeout(3):
        reader, writer = await asyncio.open_connection(LOOPBACK, link.port)
        writer.write(b"x")
        await asyncio.sleep(0.05)  # passed on
        link.apply("reset")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert "reset" == await ends.get()
        writer.close()


FAULTS = st.lists(
    st.builds(
        fault,
        st.sampled_from(["drop", "duplicate", "delay", "reorder", "throttle"]),
        name=st.sampled_from("abcdefgh"),
        match=st.sampled_from(["*", "pay*", "pay_a", "see"]),
        hold_s=st.just(0.01),
    ),
    max_size=4,
    unique_by=lambda one: one.name,
)


@settings(max_examples=20)
@given(
    FAULTS,
    st.sampled_from(["request", "response"]),
    st.lists(st.sampled_from(["pay_a", "pay_b", "see"]), max_size=4),
)
def test_faults_compose_in_their_order(faults: list[LinkFault], way: str, calls: list[str]) -> None:
    """For calls one after the other: who is dropped does nothing else, copies add up, delays add up, and a lone caller is not overtaken."""
    delivered: list[str] = []
    outcomes: list[bool] = []
    touched = {one.name: 0 for one in faults}
    delayed_s = 0.0
    drops = [one for one in faults if one.kind is LinkFaultKind.DROP]
    for call in calls:
        meant = [one for one in faults if one.matches((call,))]
        dropped = min((one for one in meant if one in drops), key=lambda one: one.name, default=None)
        outcomes.append(dropped is None)
        if dropped is not None:
            touched[dropped.name] += 1
        if dropped is not None and way == "request":
            continue
        copies = [one for one in meant if one.kind is LinkFaultKind.DUPLICATE]
        delivered += [call] * (1 + len(copies))
        delayed_s += sum(one.latency_s for one in meant if one.kind is LinkFaultKind.DELAY)
        for one in meant:
            touched[one.name] += one.kind in {
                LinkFaultKind.DUPLICATE,
                LinkFaultKind.DELAY,
                LinkFaultKind.THROTTLE,
            }

    async def found(link: OneLink) -> list[bool]:
        for one in faults:
            link.apply(one.kind, one.name, match=one.match, hold_s=0.01,
                       direction=Direction(way) if one in drops else REQUEST)  # fmt: skip
        got: list[bool] = []
        for call in calls:
            try:
                await link.client.call(call)
                got.append(True)
            except PeerUnreachable:
                got.append(False)
        await until(lambda: len(link.asked.methods) >= len(delivered))
        return got

    async def run() -> None:
        async with linked_rpc() as link:
            with taking(delayed_s):
                assert outcomes == await found(link)
            await until(lambda: touched == link.proxy.heal_all())
            assert sorted(delivered) == sorted(link.asked.methods)

    asyncio.run(run())


async def test_equal_seeds_meet_the_same_messages() -> None:
    """And other seeds others: what half of the messages means is written in the seed."""

    async def lost(seed: int) -> list[bool]:
        async with linked_rpc() as link:
            link.apply("drop", probability=0.5, seed=seed, hold_s=0.0)
            calls = [link.client.call("x", deadline=1) for _ in range(24)]
            found = []
            for call in calls:
                try:
                    await call
                    found.append(False)
                except PeerUnreachable:
                    found.append(True)
            assert sum(found) == link.proxy.touched("drop")
            return found

    first, again, other = await lost(1), await lost(1), await lost(2)
    assert first == again != other
    assert 4 <= sum(first) <= 20


async def test_the_handle_says_what_the_proxy_says() -> None:
    """Over the control endpoint: the same errors, by their classes; and nobody without the token."""
    with PortReservations() as ports:
        port = ports.reserve()
        url = f"http://{LOOPBACK}:{port}"
        notes: list[str] = []

        class Noted:
            def emit(self, event: str, **_: object) -> str:
                notes.append(event)
                return ""

        async with (
            linked_rpc() as link,
            serve_control(link.proxy, port, "secret", LOOPBACK),
            Client(url, token="secret") as client,
            Client(url, token="wrong") as stranger,
        ):
            links = LinksHandle(url, client, Noted())
            assert (ALPHA_TO_BETA,) == await links.names() == await links.apply(fault("drop", hold_s=0.0))
            with pytest.raises(LinkFaultTaken, match="heal it first"):
                await links.apply(fault("drop"))
            with pytest.raises(NoSuchLink, match=ALPHA_TO_BETA):
                await links.apply(LinkFault("x", "gamma", "*", LinkFaultKind.DROP))
            with pytest.raises(PeerUnreachable):
                await link.client.call("x")
            assert (1, 1, {}) == (
                await links.touched("drop"),
                await links.heal("drop"),
                await links.heal_all(),
            )
            assert "drop" == (await links.status())["faults"]["drop"]["kind"]
            with pytest.raises(LinksUnreachable, match="401"):
                await LinksHandle(url, stranger, Noted()).heal_all()
            with pytest.raises(InvalidLinkFault):
                await links._call("links_apply", {"kind": "drop"})
            assert ["fault.link-applied", "fault.link-healed"] == notes
            async with aiohttp.ClientSession() as session, session.get(f"{url}/status") as ready:
                assert {"ready": True, "links": 1} == await ready.json()
        async with Client(url) as client:
            with pytest.raises(LinksUnreachable):
                await LinksHandle(url, client, Noted()).touched("drop")
