"""What the relayer remembers and tells of messages: through restarts, kills and reorganisations, whatever is seen first."""

import asyncio
import itertools
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.contracts.addresses import CROSS_ROLLUP_MAILBOX, L2_CROSS_DOMAIN_MESSENGER
from bridge.contracts.artifacts import artifact
from bridge.contracts.op import op_artifact
from bridge.relayer import lifecycle
from bridge.relayer.carried import Places
from bridge.relayer.messages.envelope import Envelope
from bridge.relayer.messages.lifecycle import TOLD, Hop, State
from bridge.relayer.messages.queue import CrossingQueue
from bridge.relayer.messages.sightings import Sighting, Sign
from bridge.relayer.messages.store import Crossing, CrossingStore
from bridge.relayer.messages.telling import Teller
from bridge.relayer.retrying import Retry
from bridge.relayer.store import Checkpoint, Message, Store
from bridge.relayer.withdrawal import Passed, Withdrawal
from bridge.wire.keccak import keccak256, to_hex
from bridge.wire.stages import Stage
from bridge.wire.testing import MemoryJournal

SOURCE, DESTINATION, L1 = 901, 902, 900
PLACES = {chain: Places(chain, *("0x" + digit * 40 for digit in "abc")) for chain in (SOURCE, DESTINATION)}
ROUTER, MESSENGER = artifact("MessageRouter").interface, op_artifact("L1CrossDomainMessenger").interface


def envelope(number: int, **changes: Any) -> Envelope:
    """A message."""
    word = "0x" + "00" * 12 + "5e" * 20
    return replace(Envelope(1, SOURCE, DESTINATION, number, word, word, 5, 0, 10_000, b"hello"), **changes)


def passed(message: Envelope, block: int) -> Passed:
    """The withdrawal that carries it."""
    speech = ROUTER.encode_call("forward", message.struct)
    call = (
        2**240 + message.nonce,
        CROSS_ROLLUP_MAILBOX,
        PLACES[SOURCE].router,
        message.value,
        600_000,
        speech,
    )
    withdrawal = Withdrawal(
        message.nonce,
        L2_CROSS_DOMAIN_MESSENGER,
        PLACES[SOURCE].messenger,
        message.value,
        700_000,
        MESSENGER.encode_call("relayMessage", *call),
    )
    return Passed(withdrawal, block, "0xbb", "0xcc", message.nonce)


def sighting(message: Envelope, sign: Sign, chain: int, block: int) -> Sighting:
    """Something that a log said."""
    place = (chain, block, to_hex(keccak256(b"%d" % block)), 100 * message.nonce + list(Sign).index(sign))
    return Sighting(message.hash, sign, *place, data=sign.encode())


CROSSINGS = st.builds(
    lambda nonce, value, data, state, told, dead, block, is_open: Crossing(
        (found := envelope(nonce, value=value, data=data)).hash,
        found,
        "0x" + "aa" * 32,
        block,
        "0xcc",
        state=state,
        open=is_open,
        told=tuple(told),
        retry=Retry(dead=dead, failures=3, not_before=1.5, reason="why"),
    ),
    st.integers(0, 2**256 - 1),
    st.integers(0, 2**256 - 1),
    st.binary(max_size=40),
    st.sampled_from(State),
    st.lists(st.sampled_from(TOLD), unique=True),
    st.booleans(),
    st.integers(0, 100),
    st.booleans(),
)


@given(st.lists(CROSSINGS, max_size=8, unique_by=lambda each: each.hash))
def test_messages_are_kept_whole_and_found(
    tmp_path_factory: pytest.TempPathFactory, crossings: list[Crossing]
) -> None:
    """What is read after a restart is what was saved, field by field; lists and counts agree with it."""
    path = tmp_path_factory.mktemp("store") / "messages.sqlite"
    store = Store(path)
    CrossingStore(store).save(crossings)
    store.close()
    store = Store(path)
    kept = CrossingStore(store)
    assert Counter(crossings) == Counter(kept.page({}, 100, 0))
    assert [each for each in crossings if each.open] == sorted(kept.unfinished(), key=crossings.index)
    for each in crossings:
        assert each == kept.get(each.hash)
        assert each.envelope.nonce == int(each.to_json()["envelope"]["nonce"], 16)
    expected = Counter(each.state for each in crossings)
    counts = kept.counts().get(SOURCE, {})
    assert expected == Counter(
        {State(name): count for name, count in counts.items() if name != "dead" and count}
    )
    assert sum(each.retry.dead for each in crossings) == counts.get("dead", 0)
    store.close()


def write_for_ever(path: Path) -> None:
    """One message with its sighting and the block that it was in after the other, each told once it is kept."""
    store = Store(path)
    queue = CrossingQueue(CrossingStore(store), MemoryJournal(), PLACES, Retry())
    for number in range(100_000):
        with store.together():
            queue.seen(SOURCE, [passed(envelope(number), number)], ())
            store.scanned(SOURCE, (), Checkpoint(number, f"0x{number:x}"))
        print(number, flush=True)  # noqa: T201 - the test reads it


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_any_moment_nothing_that_was_kept_is_lost(tmp_path: Path, seed: int) -> None:
    """All or nothing of a block: every message with its sighting and its checkpoint, and no more blocks than messages."""
    path = tmp_path / "messages.sqlite"
    child = subprocess.Popen([sys.executable, __file__, str(path)], stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        told = [int(child.stdout.readline()) for _ in range(random.Random(seed).randrange(1, 80))]
    finally:
        os.kill(child.pid, signal.SIGKILL)
        told += [int(line) for line in child.stdout.read().split()]
        child.wait()
        child.stdout.close()
    store = Store(path)
    kept = CrossingStore(store)
    found = kept.unfinished()
    numbers = sorted(each.envelope.nonce for each in found)
    assert list(range(len(numbers))) == numbers
    assert len(told) <= len(numbers) <= len(told) + 1
    assert numbers[-1] == store.checkpoints(SOURCE)[-1].number
    for each in found:
        (seen,) = kept.sightings(each.hash)
        assert (Sign.FORWARDING, each.block) == (seen.sign, seen.block)
    store.close()


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("sent"), st.just(SOURCE), st.integers(0, 3)),
        st.tuples(st.sampled_from([Sign.ROUTED, Sign.RETURNED]), st.just(L1), st.integers(0, 3)),
        st.tuples(
            st.sampled_from([Sign.EXECUTED, Sign.FAILED, Sign.EXPORTED]),
            st.just(DESTINATION),
            st.integers(0, 3),
        ),
        st.tuples(st.just(Sign.REFUNDED), st.just(SOURCE), st.integers(0, 3)),
        st.tuples(st.just("lost"), st.sampled_from([SOURCE, DESTINATION, L1]), st.integers(0, 30)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
        st.tuples(st.just("close"), st.just(0), st.integers(0, 3)),
    ),
    max_size=30,
)


@given(EVENTS)
@settings(max_examples=200)
def test_what_is_known_of_messages_is_what_the_chains_hold(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int, int]]
) -> None:
    """Seen and lost in any order, over restarts: sightings are those of blocks that are there, and whoever is concerned is looked at."""
    path = tmp_path_factory.mktemp("queue") / "messages.sqlite"
    held: dict[tuple[int, int, int], Sighting] = {}
    known: set[str] = set()
    store = Store(path)
    queue = CrossingQueue(CrossingStore(store), MemoryJournal(), PLACES, Retry())
    for block, (kind, chain, number) in enumerate(events):
        message = envelope(number)
        match kind:
            case "restart":
                store.close()
                store = Store(path)
                queue = CrossingQueue(CrossingStore(store), MemoryJournal(), PLACES, Retry())
            case "lost":
                gone = [key for key, each in held.items() if each.chain_id == chain and each.block > number]
                queue.due.clear()
                queue.lost(chain, number)
                assert {held[key].name for key in gone} & known <= queue.due
                for key in gone:
                    del held[key]
            case "close":
                if message.hash in queue.open:
                    queue.keep([replace(queue.open[message.hash], open=False)])
            case "sent":
                carrier = passed(message, block)
                queue.due.clear()
                queue.seen(SOURCE, [carrier], ())
                data = carrier.withdrawal.data
                held[SOURCE, block, number] = Sighting(
                    message.hash, Sign.FORWARDING, SOURCE, block, "0xcc", number, data
                )
                known.add(message.hash)
                assert {message.hash} == queue.due
            case _:
                seen = sighting(message, Sign(kind), chain, block)
                queue.due.clear()
                queue.seen(chain, (), [seen])
                held[chain, block, seen.index] = seen
                assert ({message.hash} & known) == queue.due
    for name in {envelope(number).hash for number in range(4)}:
        assert {each for each in held.values() if each.name == name} == set(queue.sightings(name))
        hops = {Hop.FORWARD: Sign.FORWARDING, Hop.DELIVERY: Sign.ROUTED, Hop.REFUND: Sign.RETURNED}
        calls = Counter(hops[call.hop] for call in queue.calls(name))
        assert calls == Counter(each.sign for each in held.values() if each.name == name and each.call)
    store.close()


class Unpaid:
    """Steps of which none was ever taken."""

    async def paid(self, *_: Any) -> None:
        """Nothing."""


ORDERS = [
    order
    for order in itertools.permutations(("finalized", Sign.ROUTED, Sign.FAILED, Sign.EXECUTED))
    if order.index(Sign.FAILED) < order.index(Sign.EXECUTED)  # one chain's logs come in their order
]


@pytest.mark.parametrize("order", ORDERS)
def test_stages_are_told_in_order_whatever_is_seen_first(tmp_path: Path, order: tuple[str, ...]) -> None:
    """Each once, none before the one that it follows from; what was lost is taken back, and told again when it is back."""
    journal, store = MemoryJournal(), Store(tmp_path / "messages.sqlite")
    queue = CrossingQueue(CrossingStore(store), journal, PLACES, Retry())
    teller = Teller(queue, store, Unpaid(), {SOURCE: "alpha", DESTINATION: "beta"})  # type: ignore[arg-type]
    message, carrier = envelope(1), passed(envelope(1), 3)
    queue.seen(SOURCE, [carrier], ())
    chains = {Sign.ROUTED: L1, Sign.FAILED: DESTINATION, Sign.EXECUTED: DESTINATION}
    crossing = queue.open[message.hash]
    whole = [Stage.MESSAGE_DEPOSITED, Stage.MESSAGE_FAILED, Stage.MESSAGE_EXECUTED]

    async def tell() -> list[str]:
        nonlocal crossing
        crossing = (await teller.tell(crossing)).crossing
        return [event.event for event in journal.events]

    async def main() -> None:
        for step, what in enumerate(order):
            if what == "finalized":
                store.save([finalized(carrier)])
            else:
                sign = Sign(what)
                queue.seen(chains[sign], (), [sighting(message, sign, chains[sign], 10 + step)])
            told = await tell()
            assert told == [stage for stage in whole if stage in told]
            assert told == await tell()
        told = await tell()
        assert whole == told
        assert ["the withdrawal's last"] == [*journal.events[0].cause]
        for before, after in itertools.pairwise(journal.events):
            assert before.id in after.cause
        queue.lost(DESTINATION, 0)
        assert [*whole, "message.set_back"] == await tell()
        queue.seen(DESTINATION, (), [sighting(message, Sign.EXECUTED, DESTINATION, 50)])
        assert [*whole, "message.set_back", Stage.MESSAGE_EXECUTED] == await tell()

    asyncio.run(main())
    store.close()


def finalized(carrier: Passed) -> Message:
    """The withdrawal at its end."""
    return Message(
        SOURCE,
        carrier.withdrawal.hash,
        carrier.withdrawal,
        carrier.block,
        "0xbb",
        "0xcc",
        lifecycle.State.FINALIZED,
        told=lifecycle.State.FINALIZED,
        cause="the withdrawal's last",
    )


if __name__ == "__main__":
    write_for_ever(Path(sys.argv[1]))
