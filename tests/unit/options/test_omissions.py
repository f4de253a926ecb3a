"""Proofs on a real L1 that a block has left out a liquidation: honest blocks have none, dishonest ones can't hide it."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bridge.wire.errors import RpcError
from bridge.wire.keccak import from_hex, to_hex
from bridge.wire.outputs import OutputParts
from orchestrator.market.testing_court import OMISSION, Court, court_on_l1, error_of
from rollup_node.engines.options.omissions import Section, Step, Unprovable, omissions, section_of
from rollup_node.engines.options.state import snapshot
from rollup_node.engines.options.testing import Both, options_engine
from rollup_node.engines.options.testing_mutants import patched
from rollup_node.engines.options.testing_omissions import (
    SHORTS,
    Made,
    leaves_out,
    made_of,
    make,
    omissions_of,
    shock,
    shocked,
    shocked_without,
)
from rollup_node.engines.options.transition import liquidation, risk
from rollup_node.engines.options.transition.block import execute
from rollup_node.engines.options.transition.margins import LIQUIDATING
from rollup_node.engines.options.transition.sealing import seal, steps_root
from rollup_node.engines.options.transition.testing import DOLLAR, PARAMETERS, Desk
from rollup_node.engines.options.transition.testing_floor import PLAYED, crowd
from rollup_node.engines.options.values import WAD

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def court() -> AsyncIterator[Court]:
    """The contract beside the OP Stack's own L2OutputOracle."""
    async with court_on_l1() as found:
        yield found


async def test_an_honest_block_has_no_proof_for_anybody(court: Court) -> None:
    """Of every account, with the true section: refused, because it is liquidated there or isn't below maintenance margin."""
    desk = shock()
    made = shocked(desk)
    assert () == omissions_of(made)
    section = section_of(made.steps)
    assert section is not None
    holders = made.holders()
    errors = await court.judge(made.output, [(section.arguments(made.headers), holder) for holder in holders])
    liquidated = {desk.account(name) for name in SHORTS}
    assert ["Liquidated" if holder.number in liquidated else "Solvent" for holder in holders] == errors
    assert len(holders) == 6


async def test_a_block_that_leaves_somebody_out_is_shown_to(court: Court) -> None:
    """All of them, one among others, in either margin mode: a proof for each who was left out, and for nobody else."""
    for names in (("dan", "eve", "fay"), ("eve",), ("dan", "fay")):
        desk = shock()
        made = shocked_without(desk, *names)
        found = omissions_of(made)
        assert sorted(desk.account(name) for name in names) == [one.holder.number for one in found]
        cases = [(one.section.arguments(made.headers), one.holder) for one in found]
        assert [""] * len(names) == await court.judge(made.output, cases)
        others = [one for one in made.holders() if one.number not in {case.number for _, case in cases}]
        errors = await court.judge(made.output, [(cases[0][0], one) for one in others])
        assert {"Liquidated", "Solvent"} >= set(errors)


async def test_an_omission_is_shown_once_against_an_output_that_stands(court: Court) -> None:
    """As a transaction against the proposed output of a later block, within the gas that the reference expects; a second one is refused."""
    desk = shock()
    made = shocked_without(desk, "dan", "eve", "fay")
    executed = desk.block()
    later = seal(executed, desk.history[-1], made.sealed.hash, PARAMETERS.gas_limit)
    output = OutputParts(to_hex(later.state_root), to_hex(b"\1" * 32), to_hex(later.hash))
    index = await court.propose(output)
    used = []
    for one in omissions_of(made):
        section = one.section.arguments((*made.headers, later.encoded))
        data = OMISSION.interface.encode_call("show", index, output.struct, section, one.holder.arguments)
        receipt = await court.send(court.address, data)
        assert "0x1" == receipt["status"]
        (log,) = receipt["logs"]
        assert int(log["topics"][2], 16) == one.holder.number
        used.append(int(receipt["gasUsed"], 16))
        with pytest.raises(RpcError) as refused:
            await court.client.call("eth_call", {"to": court.address, "data": to_hex(data)}, "latest")
        assert "AlreadyShown" == error_of(refused.value)
    assert all(150_000 < gas < 600_000 for gas in used), used


async def test_nothing_that_is_altered_in_a_proof_is_accepted(court: Court) -> None:
    """Leaves, their proofs, steps, roots, places, headers, output: each refused, for its own reason."""
    desk = shock()
    made = shocked_without(desk, "dan", "fay")
    dan = omissions_of(made)[0]
    holder, section = dan.holder, dan.section
    richer = holder.account[0][:45] + b"\xff" + holder.account[0][46:]
    eve = next(one for one in made.holders() if one.number == desk.account("eve"))
    proof = holder.account[1]
    holders = [
        replace(holder, account=(richer, proof)),
        replace(holder, account=(holder.account[0], proof[:-1] + bytes([proof[-1] ^ 1]))),
        replace(holder, account=(holder.account[0], proof[:-32])),
        replace(holder, account=(holder.account[0], proof + bytes(32))),
        replace(holder, account=eve.account),
        replace(holder, series=(), rows=()),
        replace(holder, series=holder.series * 2, rows=holder.rows * 2),
        replace(holder, rows=holder.series),
        replace(holder, oracles=()),
        replace(holder, oracles=(holder.rows[0],)),
        eve,
    ]
    arguments = section.arguments(made.headers)
    errors = await court.judge(made.output, [(arguments, one) for one in holders])
    assert [
        "NotInState",
        "NotInState",
        "MalformedProof",
        "MalformedProof",
        "MalformedProof",
        "WrongCount",
    ] == errors[:6]
    assert ["WrongCount", "UnknownLeaf", "UnknownLeaf", "UnknownLeaf", "Liquidated"] == errors[6:]

    def steps(some: Sequence[Step], siblings: Sequence[tuple[bytes, ...]] = section.siblings) -> Section:
        return replace(section, steps=tuple(some), siblings=tuple(siblings))

    rows, eves, after = section.steps
    wrong = [
        steps((replace(rows, root=bytes(32)), eves, after)),
        steps((rows, after), section.siblings[:2]),
        steps((rows,), section.siblings[:1]),
        steps((), ()),
        steps((eves, after), section.siblings[1:]),
        replace(section, first=section.first + 1),
        replace(section, first=section.first + 1, steps=(eves, after), siblings=section.siblings[1:]),
        replace(section, count=section.count + 1),
        _longer(made, section),
    ]
    errors = await court.judge(made.output, [(one.arguments(made.headers), holder) for one in wrong])
    assert ["NotAStep", "NotAStep", "NotTheSection", "NotTheSection", "NotAStep", "NotAStep"] == errors[:6]
    assert ["NotTheLastRows", "NotTheSection"] == [errors[6], errors[8]]
    assert errors[7] in ("", "NotAStep")  # a count that gives the same paths shows the same

    other = shocked(shock())
    headers = [(), (other.sealed.encoded,), (made.sealed.encoded, other.sealed.encoded)]
    errors = await court.judge(made.output, [(section.arguments(one), holder) for one in headers])
    assert errors[0].startswith("Panic")
    assert ["WrongHeader", "WrongHeader"] == errors[1:]
    assert ["WrongOutput"] == await court.judge(
        replace(made.output, passer_root=to_hex(bytes(32))), [(arguments, holder)], root=made.output.root
    )


def _nothing(_: Any) -> Any:
    return lambda *_: ()


def _longer(made: Made, section: Section) -> Section:
    """A section that goes one step too far."""
    whole = [*made.steps]
    chosen = whole[section.first : section.first + len(section.steps) + 1]
    siblings = section_of([*whole[: section.first], *chosen])
    assert siblings is not None
    return replace(section, steps=tuple(chosen), siblings=(*section.siblings, ()))


async def test_what_cannot_be_shown_is_refused(court: Court) -> None:
    """A block without roots of steps, one whose maker leaves out the rows too, an account that is flagged already."""
    desk = shock()
    made = shocked_without(desk, "dan", "eve", "fay")
    first = omissions_of(made)[0]
    silent = replace(made.sealed, extra=b"")
    output = OutputParts(to_hex(silent.state_root), to_hex(b"\1" * 32), to_hex(silent.hash))
    assert ["NoSteps"] == await court.judge(
        output, [(first.section.arguments((silent.encoded,)), first.holder)]
    )

    with patched(risk, "steps", _nothing):
        hidden = shocked(shock())
    with pytest.raises(Unprovable):
        omissions_of(hidden)

    desk = shock(asked=False)
    shocked(desk)  # nobody sells within the bound: all three stay flagged
    dan = desk.account("dan")
    with patched(liquidation, "steps", leaves_out(desk, "dan")):
        made = make(desk, desk.update(3_700 * DOLLAR, volatility=WAD * 9 // 10))
    assert () == omissions_of(made)
    section = section_of(made.steps)
    assert section is not None
    flagged = [(section.arguments(made.headers), one) for one in made.holders() if one.number == dan]
    assert ["AlreadyFlagged"] == await court.judge(made.output, flagged)


async def test_a_full_section_leaves_out_the_others_by_right(court: Court) -> None:
    """A block liquidates so many at most: no proof of those beyond; where the rollup's limit is another, it is one."""
    few = replace(PARAMETERS, max_liquidations=2)
    made = shocked(shock(few))
    section = section_of(made.steps)
    assert section is not None
    assert 4 == len(section.steps)
    assert () == omissions(made.world, few, made.content, made.steps)
    found = omissions(made.world, PARAMETERS, made.content, made.steps)
    assert 1 == len(found)
    cases = [(section.arguments(made.headers), found[0].holder)]
    assert [""] == await court.judge(made.output, cases)
    strict = replace(court, address=await court.deploy(few.max_liquidations))
    assert ["SectionFull"] == await strict.judge(made.output, cases)


async def _crowds_blocks(court: Court, seed: int, moves: int) -> int:
    """Every block of a crowd in which rows are new, made honestly and without any liquidation; how many of these are shown."""
    parameters = replace(PLAYED, step_roots=True)
    world, shown = Desk(parameters).world, 0
    for content in crowd(seed, moves).desk.history:
        before, mark = snapshot.dump(world), world.mark()
        with patched(liquidation, "steps", _nothing):
            dishonest = made_of(before, content, execute(world, parameters, content))
        world.undo(mark)
        honest = made_of(before, content, execute(world, parameters, content))
        section = section_of(honest.steps)
        if section is None:
            continue
        holders = honest.holders(parameters)
        errors = await court.judge(
            honest.output, [(section.arguments(honest.headers), holder) for holder in holders]
        )
        assert {"Solvent", "Liquidated", "AlreadyFlagged"} >= set(errors), (content.number, errors)
        assert () == omissions_of(honest, parameters)
        found = omissions_of(dishonest, parameters)
        flagged = {
            holder.number
            for holder, error in zip(holders, errors, strict=True)
            if error == "Liquidated" and not holder.account[0][63] & LIQUIDATING
        }
        assert flagged == {one.holder.number for one in found}
        cases = [(one.section.arguments(dishonest.headers), one.holder) for one in found]
        assert [""] * len(found) == await court.judge(dishonest.output, cases)
        shown += len(found)
    return shown


async def test_a_crowds_blocks_have_a_proof_exactly_where_somebody_is_left_out(court: Court) -> None:
    """Of every account in every block of random trading, auctions and settlement: none in the honest one, one for each in the other."""
    assert await _crowds_blocks(court, 4, 30)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 5))
async def test_more_crowds_blocks_have_a_proof_exactly_where_somebody_is_left_out(
    court: Court, seed: int
) -> None:
    """As above, of longer trading."""
    assert await _crowds_blocks(court, seed, 80)


async def test_engines_tell_the_steps_and_find_what_others_left_out(court: Court, tmp_path: Path) -> None:
    """The maker's engine tells steps that give the root in the header; an honest one makes proofs of them that the contract takes."""
    dishonest, honest = shock(), shock()
    made = shocked_without(dishonest, "eve")
    true = shocked(honest)
    async with options_engine(tmp_path / "honest", honest) as engine:
        await engine.start()
        head = await Both(honest, engine).catch_up()
        block = hex(head.number)
        told = await engine.request("options_getSteps", [block])
        assert true.steps == [Step(from_hex(one["raw"]), from_hex(one["root"], 32)) for one in told]
        known = [(from_hex(one["transaction"], 32), from_hex(one["root"], 32)) for one in told]
        assert (
            to_hex(steps_root(known))
            == (await engine.request("eth_getBlockByNumber", [block, False]))["extraData"]
        )
        assert [] == await engine.request("options_getOmissions", [told, block])
        others = [{"raw": to_hex(step.raw), "root": to_hex(step.root)} for step in made.steps]
        (shown,) = await engine.request("options_getOmissions", [others, block])
        for wrong, words in (
            ([{"raw": "0x02", "root": others[0]["root"]}], "RLP"),
            ("nothing", "expected"),
            (others[:1], "doesn't have the rows"),
        ):
            with pytest.raises(RpcError, match=words):
                await engine.request("options_getOmissions", [wrong, block])
        assert head == await engine.head()
    (mine,) = omissions_of(made)
    assert _plain(shown["holder"]) == _plain(mine.holder.arguments)
    assert _plain(shown["section"]) == _plain(mine.section.arguments(()))[1:]
    assert [""] == await court.judge(made.output, [(mine.section.arguments(made.headers), mine.holder)])


def _plain(value: Any) -> Any:
    """Structs without names, bytes as hexadecimal."""
    if isinstance(value, bytes):
        return to_hex(value)
    if isinstance(value, dict):
        value = tuple(value.values())
    return tuple(map(_plain, value)) if isinstance(value, tuple | list) else value
