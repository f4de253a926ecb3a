"""Runs broken at places drawn at random: whichever bundle, leg, block or account it hits, the checker finds that very one."""

from collections.abc import Callable, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.checks import RunFacts, Verdict, check_run, worst
from orchestrator.checks.telling import short
from orchestrator.checks.testing import Document, altered, good_run
from orchestrator.checks.testing_recorder import Recorder, name_of
from orchestrator.checks.verdict import CheckResult
from orchestrator.load.history import Kind, Operation, Result

GOOD = good_run(2)
COMMITTED = [one for one in GOOD.bundles if one.outcome == "committed"]
EXAMPLES = settings(max_examples=40, derandomize=True)
committed = st.sampled_from(COMMITTED)
leg_index = st.integers(0, 1)
amounts = st.integers(-(10**18), 10**18).filter(bool)
rollups = st.sampled_from(sorted(GOOD.observed.rollups)) if GOOD.observed else st.nothing()


def said(facts: RunFacts, checker: str) -> CheckResult:
    """The result of one checker, which must be invalid."""
    found = next(one for one in check_run(facts) if one.name == checker)
    assert Verdict.INVALID == found.verdict, found
    return found


def tells_of(found: CheckResult, *words: str) -> None:
    """The example names what was broken."""
    assert found.counterexample is not None
    text = "\n".join(found.counterexample.lines)
    assert all(word in text for word in words), text


def everywhere(run: Document) -> list[tuple[list[object], int]]:
    """Each transaction's list and place."""
    return [
        (block["transactions"], index)
        for rollup in run["observed"]["rollups"].values()
        for block in rollup["blocks"]
        for index in range(len(block["transactions"]))
    ]


def drop(*digests: str) -> Callable[[Document], None]:
    """Takes transactions off their chains."""

    def change(run: Document) -> None:
        for transactions, index in reversed(everywhere(run)):
            if transactions[index]["hash"] in digests:  # type: ignore[index]
                del transactions[index]

    return change


@EXAMPLES
@given(committed, leg_index)
def test_any_dropped_leg_is_a_partial_bundle(one: Operation, index: int) -> None:
    """Whichever leg of whichever bundle is missing, atomicity names the bundle."""
    found = said(altered(GOOD, drop(one.legs[index].transaction)), "atomicity")
    tells_of(found, short(one.id), f"leg {index}", "1 of 2 legs")


@EXAMPLES
@given(st.sampled_from([one for one in GOOD.operations if one.acknowledged and one.took_effect]))
def test_any_lost_operation_is_named(one: Operation) -> None:
    """Whatever was acknowledged and executed and is nowhere any more, no loss names it."""
    gone = [leg.transaction for leg in one.legs]
    if one.kind is Kind.DEPOSIT and GOOD.observed and GOOD.observed.l1:
        gone = [each.transaction for each in GOOD.observed.l1.deposits if each.l1_transaction == one.id]
    tells_of(said(altered(GOOD, drop(*gone)), "no loss"), short(one.id))


@EXAMPLES
@given(committed, leg_index, st.data())
def test_any_transaction_that_runs_again_is_named(one: Operation, index: int, data: st.DataObject) -> None:
    """A second execution in any block of any rollup is found."""
    digest = one.legs[index].transaction

    def change(run: Document) -> None:
        places = everywhere(run)
        transactions, place = next(each for each in places if each[0][each[1]]["hash"] == digest)  # type: ignore[index]
        target, _ = data.draw(st.sampled_from(places))
        target.append(transactions[place])

    tells_of(said(altered(GOOD, change), "at most once"), short(digest), "2 times")


@EXAMPLES
@given(rollups, amounts, st.data())
def test_any_wrong_balance_is_found(name: str, amount: int, data: st.DataObject) -> None:
    """A single wei too many or too few, on any account, breaks conservation and is counted exactly."""

    def change(run: Document) -> None:
        ether = run["observed"]["rollups"][name]["ether"]
        ether[data.draw(st.sampled_from(sorted(ether)))]["after"] += amount

    found = said(altered(GOOD, change), "conservation")
    tells_of(found, name, str(abs(amount)))


@EXAMPLES
@given(rollups, st.data())
def test_any_fork_is_found(name: str, data: st.DataObject) -> None:
    """A block with another hash than the next one's parent, the decided one or the served one is seen by agreement and by order."""

    def change(run: Document) -> None:
        blocks = run["observed"]["rollups"][name]["blocks"]
        number = data.draw(st.integers(1, len(blocks) - 2))
        blocks[number]["hash"] = name_of("fork", number)

    broken = altered(GOOD, change)
    tells_of(said(broken, "agreement"), name)
    tells_of(said(broken, "order"), name)


@EXAMPLES
@given(st.data())
def test_any_slot_number_that_is_used_again_is_found(data: st.DataObject) -> None:
    """Whichever slot has another content than was served, order names its number."""
    slots = GOOD.observed.sequencers["sequencer"].slots if GOOD.observed else ()
    number = data.draw(st.integers(0, len(slots) - 1))

    def change(run: Document) -> None:
        run["observed"]["sequencers"]["sequencer"]["slots"][number]["hash"] = "0" * 32

    tells_of(said(altered(GOOD, change), "order"), f"slot {number} ")


@EXAMPLES
@given(st.sampled_from([one for one in GOOD.operations if one.took_effect and one.kind is not Kind.DEPOSIT]))
def test_any_ghost_is_found(one: Operation) -> None:
    """An operation that no history knows, or of which it knows that nobody took it, may not be executed."""

    def forget(run: Document) -> None:
        run["operations"] = [each for each in run["operations"] if each["op"] != one.op]
        run["events"] = [each for each in run["events"] if one.id not in (each["bundle_id"], each["msg_id"])]

    def refuse(run: Document) -> None:
        run["operations"][one.op].update(result="fail", outcome="", acknowledged_ns=None)

    for change in (forget, refuse):
        found = said(altered(GOOD, change), "no ghosts")
        tells_of(found, *[one.legs[0].transaction[:8]][: len(one.legs) == 1])


@EXAMPLES
@given(st.data())
def test_bundles_in_opposite_orders_are_a_cycle(data: st.DataObject) -> None:
    """Any two bundles that touch the same state and are swapped on one rollup make a cycle, and the example has just these two."""
    made = Recorder()
    for _ in range(5):
        made.bundle(0)
        made.slot()
    facts = made.facts()
    first, second = data.draw(st.lists(st.integers(0, 4), min_size=2, max_size=2, unique=True).map(sorted))
    name = data.draw(st.sampled_from(["alpha", "beta"]))

    def change(run: Document) -> None:
        blocks = run["observed"]["rollups"][name]["blocks"]
        one, other = blocks[first + 1]["transactions"], blocks[second + 1]["transactions"]
        one[0], other[0] = other[0], one[0]

    found = said(altered(facts, change), "serialisable")
    assert found.counterexample is not None
    assert found.counterexample.lines[0].startswith("2 units of work")


@EXAMPLES
@given(
    st.lists(
        st.sampled_from(["committed", "aborted", "expired", "unheard", "unsent"]), min_size=1, max_size=12
    )
)
def test_whatever_ends_bundles_have_the_run_is_valid(ends: Sequence[str]) -> None:
    """No false alarm: any sequence of ends is fine, also of operations whose client never learned of them."""
    made = Recorder()
    for _ in range(2):
        made.bundle(0)
        made.slot()
    for index, end in enumerate(ends):
        user = index % 4
        if end == "unheard":
            made.bundle(user, result=Result.INFO, acknowledged=index % 2 == 0)
        elif end == "unsent":
            made.bundle(user, outcome="", result=Result.FAIL, acknowledged=False)
        else:
            made.bundle(user, outcome=end, trades=(index + 1, -index - 1) if index % 2 else ())
        made.slot()
    safety = [one for one in check_run(made.facts()) if one.name != "strategy"]
    assert Verdict.VALID == worst(one.verdict for one in safety), safety
