"""Faults as values: what they say, what they come to in a network and on a disk, and when what was seen proves them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.runtimes.base import Capability
from orchestrator.runtimes.disk_full import bite_of as disk_bite_of
from orchestrator.runtimes.docker.faults.network import Peer, order, order_with_proof, rules_of
from orchestrator.runtimes.docker.faults.verdicts import bite_of, healing_of
from orchestrator.runtimes.errors import BadFaultError
from orchestrator.runtimes.faults import (
    KINDS,
    Blackhole,
    DiskFull,
    Fault,
    OutOfMemory,
    PacketLoss,
    Reset,
    Throttle,
    Unplug,
    fault_from_dict,
    fault_to_dict,
    same_place,
)
from orchestrator.runtimes.file_limits import Limited, water_level

ADDRESSES = {"alpha": "10.0.0.1", "beta": "10.0.0.2", "gamma": "10.0.0.3"}
BETA = Peer("beta", "10.0.0.2", 8545)

nodes = st.sampled_from(sorted(ADDRESSES))
pairs = st.permutations(sorted(ADDRESSES)).map(lambda names: (names[0], names[1]))
faults: st.SearchStrategy[Fault] = st.one_of(
    nodes.map(Unplug),
    pairs.map(lambda pair: Blackhole(*pair)),
    pairs.map(lambda pair: Reset(*pair)),
    st.builds(Throttle, nodes, st.integers(1000, 10**9)),
    st.builds(PacketLoss, nodes, st.floats(1e-6, 1.0)),
    nodes.map(OutOfMemory),
    st.builds(DiskFull, nodes, st.integers(0, 10**12)),
)


@given(faults)
def test_a_fault_travels_whole(fault: Fault) -> None:
    """What is read back from a fault's document is the fault; its kind is a capability."""
    assert fault == fault_from_dict(fault_to_dict(fault))
    assert Capability(fault.kind) == KINDS[fault.kind].kind


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (4, "no kind of fault"),
        ({"node": "alpha"}, "None is no kind"),
        ({"kind": "pauze", "node": "alpha"}, "'pauze' is no kind"),
        ({"kind": "unplug"}, "node: Field required"),
        (
            {"kind": "throttle", "node": "alpha", "rate": 5},
            "rate: there is no such field; bytes_per_s: Field required",
        ),
        ({"kind": "throttle", "node": "alpha", "bytes_per_s": 999}, "bytes_per_s is 999"),
        ({"kind": "packet-loss", "node": "alpha", "share": 1.5}, "share is 1.5"),
        ({"kind": "packet-loss", "node": "alpha", "share": float("nan")}, "share is nan"),
        ({"kind": "disk-full", "node": "alpha", "spare_bytes": -1}, "spare_bytes is -1"),
        ({"kind": "blackhole", "node": "alpha", "peer": "alpha"}, "both 'alpha'"),
    ],
)
def test_what_is_no_fault_is_refused(document: Any, words: str) -> None:
    """Every mistake is named, all of one document at once."""
    with pytest.raises(BadFaultError, match=words):
        fault_from_dict(document)


def test_one_place_has_one_fault() -> None:
    """Two rates of one node, or a cut and a refusal of one link, exclude each other; different links and kinds do not."""
    assert same_place(Throttle("alpha", 1000), Throttle("alpha", 2000))
    assert same_place(Blackhole("alpha", "beta"), Reset("alpha", "beta"))
    assert not same_place(Blackhole("alpha", "beta"), Blackhole("alpha", "gamma"))
    assert not same_place(Blackhole("alpha", "beta"), Blackhole("beta", "alpha"))
    assert not same_place(Throttle("alpha", 1000), PacketLoss("alpha", 0.5))


@given(
    st.lists(
        faults.map(
            lambda fault: (
                replace(fault, node="alpha") if getattr(fault, "peer", "") != "alpha" else Unplug("alpha")
            )
        )
    )
)
def test_the_table_is_that_of_the_faults_in_force(on_node: list[Fault]) -> None:
    """Each cut has its rules for the peer's address, and nothing else is in the table; it holds all of INPUT before OUTPUT."""
    rules = rules_of(on_node, ADDRESSES["alpha"], ADDRESSES.get)
    expected = sum({Blackhole: 1, Reset: 2, PacketLoss: 1}.get(type(fault), 0) for fault in on_node)
    assert expected == len(rules)
    for rule in rules:
        peer = getattr(rule.fault, "peer", "alpha")
        assert f"{ADDRESSES[peer]}/32" in rule.text
    chains = [rule.text.split()[1] for rule in rules]
    assert sorted(chains) == chains
    assert () == rules_of(on_node, None, ADDRESSES.get)


def test_a_peer_without_an_address_has_no_rules_yet() -> None:
    """While a peer is down there is nobody to cut off; the other faults stay in the table."""
    on_node = [Blackhole("alpha", "beta"), PacketLoss("alpha", 0.5)]
    known = {"alpha": "10.0.0.1"}
    (left,) = order(on_node, "10.0.0.1", known.get)["steps"][0]
    assert "statistic" in left


def told_of(asked: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What a side-car tells when all went as it should, with changes."""
    counts = [[1] * len(rules) for rules in asked["steps"]]
    return {"before": "connected", "met": counts, "matched": counts[-1], "queue": {}, **changes}


@pytest.mark.parametrize(
    ("fault", "after"), [(Blackhole("alpha", "beta"), "silence"), (Reset("alpha", "beta"), "refused")]
)
def test_a_cut_needs_its_outcome_and_its_packets(fault: Fault, after: str) -> None:
    """A connection that still comes about, one that fails in another way, and rules that met nothing are no bite."""
    on_node = [PacketLoss("alpha", 0.5), Blackhole("alpha", "gamma"), fault]
    asked = order_with_proof(fault, on_node, "10.0.0.1", ADDRESSES.get, [BETA])
    assert bite_of(fault, asked, told_of(asked, after=after), BETA).bit
    for other in {"silence", "refused", "connected", "EHOSTUNREACH"} - {after}:
        assert not bite_of(fault, asked, told_of(asked, after=other), BETA).bit
    for step, place in enumerate(asked["look"]["at"]):
        counts = [list(counted) for counted in told_of(asked)["met"]]
        counts[step][place] = 0
        assert not bite_of(fault, asked, told_of(asked, after=after, met=counts), BETA).bit


def test_loss_and_throttle_are_counted() -> None:
    """No lost packet, and a queue that held nothing back, are no bite, and the numbers are in the evidence."""
    loss, throttle = PacketLoss("alpha", 0.5), Throttle("alpha", 1000)
    asked = order_with_proof(loss, [loss], "10.0.0.1", ADDRESSES.get, [BETA])
    for lost, bit in ((90, True), (0, False)):
        knocks = {"sent": 200, "answered": 200 - lost}
        found = bite_of(loss, asked, told_of(asked, after=knocks, matched=[lost]), BETA)
        words = (
            f"{lost} packets lost on their way here, 0.5 asked for; {200 - lost} of 200 probes were answered"
        )
        assert (bit, words) == (found.bit, found.evidence)
    asked = order_with_proof(throttle, [throttle], "10.0.0.1", ADDRESSES.get, [BETA])
    seen = {"offered": 9000, "seconds": 0.25}
    for queue, bit in (
        ({"overlimits": 3}, True),
        ({"backlog": 9}, True),
        ({"bytes": 9000}, False),
        ({}, False),
    ):
        assert bit == bite_of(throttle, asked, told_of(asked, after=seen, queue=queue), BETA).bit
    for kind, healed in (("noqueue", True), ("tbf", False)):
        assert healed == healing_of(throttle, asked, told_of(asked, queue={"kind": kind}), BETA).healed


def test_a_healed_link_answers_and_its_rule_is_gone() -> None:
    """A silence, or one rule more than other faults have, is not healed; where nobody is left to answer the table decides."""
    fault, asked = Blackhole("alpha", "beta"), {"steps": [["-A INPUT of another fault"]]}
    for after, counts, healed in (
        ("connected", [4], True),
        ("refused", [4], True),
        ("silence", [4], False),
        ("connected", [4, 0], False),
    ):
        told = {"matched": counts, "after": after, "queue": {}}
        assert healed == healing_of(fault, asked, told, BETA).healed
    assert healing_of(fault, asked, {"matched": [4], "queue": {}}, None).healed
    assert not healing_of(fault, asked, {"matched": [4, 0], "queue": {}}, None).healed


@given(st.lists(st.integers(1, 50), max_size=6), st.integers(0, 200))
def test_files_fill_like_vessels(sizes: list[int], spare: int) -> None:
    """At the level, files grow by no more than the spare bytes together; one byte higher they would."""

    def growth(level: int) -> int:
        return sum(max(0, level - size) for size in sizes)

    level = water_level(sizes, spare)
    assert growth(level) <= spare
    assert spare < growth(level + 1) or not sizes


async def test_a_process_that_escapes_is_no_full_disk() -> None:
    """One process with another limit, or none with this one, and the disk is not full; a complaint is in the evidence."""
    held = Limited(limit=0, held=3, free=0, full=2, roomy=0)
    lines = ["fine"]

    def complained() -> list[str]:
        lines.append("OSError: [Errno 27] File too large")
        return lines

    found = await disk_bite_of(held, complained, 0)
    assert (True, True) == (found.bit, "File too large" in found.evidence)
    for escaped in (held._replace(free=1), held._replace(held=0)):
        assert not (await disk_bite_of(escaped, lambda: lines, 0)).bit
