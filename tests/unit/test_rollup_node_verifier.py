"""The verifier: an honest set is rebuilt block by block, and every lie is named with its chain and block."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.wire.bundle import decode_bundle
from bridge.wire.deposits import Deposit, encode_deposit
from bridge.wire.keccak import from_hex, keccak256, to_hex
from bridge.wire.slot import Block, BundlePart, Slot
from bridge.wire.superbatch import decode_superbatch, encode_superbatch, superbatch_hash
from bridge.wire.testing import Op, Program, run_virtual, signed
from rollup_node.derivation.testing import CHAINS, DEADLINE, ToyL1, ToySequencer, portal, rules
from rollup_node.derivation.verifier import Finding, Verified, Verifier, compare_outputs, compare_served
from rollup_node.engines.base import Header
from rollup_node.outputs import Output, read_output
from rollup_node.testing import ToyEngine

FIRST, SECOND = CHAINS
WINDOW = 4
WRONG = "0x" + "77" * 32
Forge = Callable[[Block], Block]


def forged(chain: int, number: int, **changes: str) -> Forge:
    """Claims something else of one block."""

    def forge(block: Block) -> Block:
        return replace(block, **changes) if (block.chain_id, block.number) == (chain, number) else block

    return forge


def honest(block: Block) -> Block:
    """Claims the truth."""
    return block


class Setting:
    """A set that published three superbatches, of two slots each, with a bundle over both rollups in every slot."""

    def __init__(self) -> None:
        self.l1 = ToyL1()
        self.sequencer = ToySequencer(self.l1, WINDOW)
        self._accounts = 0

    async def publish(self, slots: int = 2, forge: Forge = honest) -> bytes:
        """Decide some slots; their superbatch is not on L1 yet."""
        for _ in range(slots):
            plain = {chain: [self.transaction(chain)] for chain in CHAINS}
            await self.sequencer.slot(plain, self.bundle(), forge=forge)
        return self.sequencer.publish()

    def transaction(self, chain: int, program: Program = ((Op.ADD, 0, 1),)) -> str:
        """Of an account of its own."""
        self._accounts += 1
        return to_hex(signed(chain, self._accounts, 0, program).raw)

    def bundle(self, first: Program = (), last: Program = ()) -> dict[int, list[BundlePart]]:
        """Two legs, one on each rollup; both write, and run a program of their own after that."""
        programs = [((Op.ADD, 0, 1), *first), ((Op.ADD, 1, 1), *last)]
        legs = [self.transaction(chain, program) for chain, program in zip(CHAINS, programs, strict=True)]
        name = to_hex(decode_bundle([from_hex(leg) for leg in legs], DEADLINE, bytes(32)).hash)
        return {
            chain: [BundlePart(name, (leg,), (raw,))]
            for leg, (chain, raw) in enumerate(zip(CHAINS, legs, strict=True))
        }

    async def begin(self, forge: Forge = honest, superbatches: Sequence[int] = (0, 1, 2)) -> "Setting":
        """Three superbatches, of which some get to L1."""
        await self.sequencer.restart()
        for number in range(3):
            data = await self.publish(forge=forge)
            self.l1.mine(*([data] if number in superbatches else []))
        return self

    async def verify(self, outputs: dict[int, Iterable[int]] | None = None) -> Verified:
        """The whole L1."""
        verifier = Verifier(rules(WINDOW), {chain: ToyEngine() for chain in CHAINS}, outputs)
        await verifier.start()
        for block in self.l1.blocks:
            await verifier.add(block)
        return verifier.result

    def served(self, chain: int) -> dict[int, str]:
        """What a true node serves."""
        return {block.number: block.hash for block in self.sequencer.blocks[chain]}


def named(findings: Iterable[Finding]) -> list[tuple[int | None, int | None, str]]:
    """Chain, block and kind of each finding."""
    return [(finding.chain_id, finding.block, finding.what) for finding in findings]


async def test_an_honest_set_is_rebuilt_to_the_last_hash() -> None:
    """Every claimed hash and root is compared and equal, forced blocks and deposits included; strangers do no harm."""
    raw = to_hex(encode_deposit(Deposit(bytes(32), b"\x01" * 20, b"\x02" * 20, 7, 0, 21_000, False, b"")))
    setting = await Setting().begin()
    setting.l1.mine(b"rubbish", sender="0x" + "99" * 20, deposits={portal(FIRST): (raw,)})
    setting.l1.mine(await setting.publish(1))
    for _ in range(WINDOW + 2):
        setting.l1.mine()
    result = await setting.verify()
    await setting.sequencer.restart()
    assert [] == result.findings
    assert (7, 7, 1) == (result.slots, result.bundles, result.strangers)
    assert (len(setting.l1.blocks), 2 * 2 * 7) == (result.l1_blocks, result.compared)
    assert result.forced > 0
    for chain in CHAINS:
        served = setting.served(chain)
        assert served == {number: found for number, found in result.hashes[chain].items() if number}
        assert [] == compare_served(result, chain, served, len(served), "a node")
    assert 2 * 2 * 7 + sum(len(setting.served(chain)) for chain in CHAINS) == result.compared


async def test_nothing_verified_is_nothing_counted() -> None:
    """On an empty L1 there is no finding, and nothing that could be taken for a proof."""
    setting = Setting()
    result = await setting.verify()
    assert (1, 0, 0, 0, 0, []) == (
        result.l1_blocks,
        result.slots,
        result.forced,
        result.bundles,
        result.compared,
        result.findings,
    )
    assert [] == compare_served(result, FIRST, {}, 0, "a node")
    assert [] == compare_outputs(result, FIRST, {}, "L1")
    assert 0 == result.compared


@given(st.sampled_from(CHAINS), st.integers(1, 6), st.sampled_from(["hash", "state_root"]))
@settings(max_examples=30, deadline=None)
def test_a_false_hash_or_root_is_named(chain: int, number: int, what: str) -> None:
    """One claim of one block is wrong: exactly that one is found."""

    async def main() -> None:
        setting = await Setting().begin(forged(chain, number, **{what: WRONG}))
        result = await setting.verify()
        kind = {"hash": "block hash", "state_root": "state root"}[what]
        assert [(chain, number, kind)] == named(result.findings)
        found = result.findings[0]
        truth = setting.sequencer.blocks[chain][number - 1]
        assert (WRONG, getattr(truth, what)) == (found.claimed, found.derived)
        assert f"superbatch {(number - 1) // 2}" in found.where

    run_virtual(main())


@pytest.mark.parametrize(
    "follower", [None, (), ((Op.NEED, 5, 1),)], ids=["alone", "before one", "carries one"]
)
async def test_a_bundle_with_a_failing_leg_has_no_effect_anywhere(follower: Program | None) -> None:
    """A batch claims it as committed: it is named, both rollups are rebuilt without it, and what stood on its effects falls too."""
    setting = await Setting().begin()
    false = setting.bundle(((Op.ADD, 5, 1),), ((Op.NEED, 9, 1),))
    name = false[FIRST][0].bundle
    bundles = {chain: list(false[chain]) for chain in CHAINS}
    if follower is not None:
        other = setting.bundle(follower)
        for chain in CHAINS:
            bundles[chain] += other[chain]
    claimed = await setting.sequencer.slot({chain: [] for chain in CHAINS}, bundles)
    setting.l1.mine(setting.sequencer.publish())
    result = await setting.verify()

    found = [finding for finding in result.findings if finding.what == "bundle"]
    assert (SECOND, 7, f"committed: {name}") == (found[0].chain_id, found[0].block, found[0].claimed)
    assert [SECOND, *([FIRST] if follower else [])] == [finding.chain_id for finding in found]
    mismatches = {finding.chain_id for finding in result.findings if finding.what == "block hash"}
    assert set(CHAINS) == mismatches

    kept = {
        chain: [part for part in bundles[chain] if part.bundle not in {f.claimed[11:] for f in found}]
        for chain in CHAINS
    }
    again = await Setting().begin()
    truth = await again.sequencer.slot({chain: [] for chain in CHAINS}, kept)
    assert [block.hash for block in truth] == [result.hashes[chain][7] for chain in CHAINS]
    assert [block.hash for block in claimed] != [block.hash for block in truth]


def on(
    chain: int, change: Callable[[tuple[BundlePart, ...]], tuple[BundlePart, ...]]
) -> Callable[[Slot], Slot]:
    """A slot with other bundles on one rollup."""

    def lie(slot: Slot) -> Slot:
        blocks = [
            replace(block, payload=replace(block.payload, bundles=change(block.payload.bundles)))
            if block.chain_id == chain
            else block
            for block in slot.blocks
        ]
        return replace(slot, blocks=tuple(blocks))

    return lie


def unbundled(slot: Slot) -> Slot:
    """The second rollup's leg runs as a transaction of its own."""
    blocks = [
        replace(
            block,
            payload=replace(
                block.payload,
                transactions=tuple(raw for part in block.payload.bundles for raw in part.transactions),
                bundles=(),
            ),
        )
        if block.chain_id == SECOND
        else block
        for block in slot.blocks
    ]
    return replace(slot, blocks=tuple(blocks))


TORN: dict[str, tuple[Callable[[Slot], Slot], str]] = {
    "one rollup's part is left out": (on(SECOND, lambda _: ()), "those of bundle"),
    "the first leg is left out": (on(FIRST, lambda _: ()), "leg 0 is missing"),
    "it comes twice": (on(SECOND, lambda parts: parts + parts), "out of the slot's order"),
    "a leg has another number": (
        on(SECOND, lambda parts: (replace(parts[0], legs=(7,)),)),
        "leg 1 is missing",
    ),
    "its deadline has passed": (
        lambda slot: replace(slot, bundles=(replace(slot.bundles[0], max_timestamp=1),)),
        "its deadline 1",
    ),
    "it has another name": (
        lambda slot: replace(
            on(FIRST, lambda parts: (replace(parts[0], bundle=WRONG),))(
                on(SECOND, lambda parts: (replace(parts[0], bundle=WRONG),))(slot)
            ),
            bundles=(replace(slot.bundles[0], bundle=WRONG),),
        ),
        "those of bundle",
    ),
    "nobody says that it is there": (lambda slot: replace(slot, bundles=()), "does not have it"),
    "its leg runs alone": (unbundled, "those of bundle"),
}


@pytest.mark.parametrize("lie", TORN)
async def test_a_torn_bundle_is_named_and_takes_no_effect(lie: str) -> None:
    """Whatever is done to it, as a bundle it changes nothing on any rollup; what else the slot holds counts, and slots go on."""
    tear, reason = TORN[lie]
    setting = await Setting().begin()
    bundle = setting.bundle(((Op.ADD, 5, 1),), ((Op.ADD, 6, 1),))
    plain = {chain: [setting.transaction(chain)] for chain in CHAINS}
    await setting.sequencer.slot(plain, bundle, lie=tear)
    setting.l1.mine(setting.sequencer.publish())
    result = await setting.verify()
    told = [finding for finding in result.findings if finding.what == "bundle"]
    assert 1 == len(told)
    assert reason in told[0].derived
    assert "so the bundle has no effect" in told[0].derived
    assert 7 == told[0].block

    again = await Setting().begin()
    alone = {SECOND: list(bundle[SECOND][0].transactions)} if tear is unbundled else {}
    truth = await again.sequencer.slot({chain: alone.get(chain, plain[chain]) for chain in CHAINS})
    assert [block.hash for block in truth] == [result.hashes[chain][7] for chain in CHAINS]


async def test_replays_and_a_deposed_sequencer_change_nothing_and_are_named() -> None:
    """An old superbatch again, the same number twice, a lower term after a higher one: ignored, each with its reason."""
    setting = await Setting().begin()
    before = (await setting.verify()).hashes
    data = [batch.data for block in setting.l1.blocks for batch in block.batches]
    last = decode_superbatch(data[-1])
    fork = encode_superbatch(last.number, last.parent, last.term + 1, last.slots)
    deposed = encode_superbatch(last.number + 1, superbatch_hash(data[-1]), last.term - 1, last.slots)
    setting.l1.mine(data[0], fork, deposed)
    result = await setting.verify()
    assert before == result.hashes
    assert ["does not follow", "does not follow", f"term {last.term - 1} is over"] == [
        next(
            reason
            for reason in ("does not follow", f"term {last.term - 1} is over")
            if reason in finding.derived
        )
        for finding in result.findings
    ]


@pytest.mark.parametrize("missing", [0, 1, 2])
async def test_a_missing_superbatch_is_named(missing: int) -> None:
    """What follows it has no effect and says where it would have gone; a node that calls the missing blocks safe is contradicted."""
    setting = await Setting().begin(superbatches=[number for number in range(3) if number != missing])
    result = await setting.verify()
    first = 2 * missing + 1
    expected = [(FIRST, 2 * later + 1, "superbatch") for later in range(missing + 1, 3)]
    assert expected == named(result.findings)
    assert all(f"chain {FIRST} at {first - 1}" in finding.derived for finding in result.findings)
    for chain in CHAINS:
        found = compare_served(result, chain, setting.served(chain), 6, "a node")
        assert [(chain, first, "missing")] == named(found)
        assert [] == compare_served(result, chain, setting.served(chain), first - 1, "a node")


@given(st.integers(0, 10**6), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_any_changed_byte_of_a_batch_is_found(place: int, flip: int) -> None:
    """One byte of the second superbatch on L1 is another: the first block that is lost is named, and nothing false is derived."""

    async def main() -> None:
        setting = Setting()
        await setting.sequencer.restart()
        setting.l1.mine(await setting.publish())
        data = bytearray(await setting.publish())
        data[place % len(data)] ^= flip
        setting.l1.mine(bytes(data))
        result = await setting.verify()
        assert ["superbatch"] == [finding.what for finding in result.findings]
        for chain in CHAINS:
            found = compare_served(result, chain, setting.served(chain), 4, "a node")
            assert [(chain, 3, "missing")] == named(found)

    run_virtual(main())


async def test_a_promise_that_a_forced_block_took_the_place_of_is_named() -> None:
    """The window passed, yet a node serves the sequencer's own block: that block is named."""
    setting = await Setting().begin()
    late = await setting.publish(1)
    promised = {chain: setting.served(chain) for chain in CHAINS}
    for _ in range(WINDOW + 1):
        setting.l1.mine()
    setting.l1.mine(late)
    result = await setting.verify()
    assert result.forced > 0
    assert [(FIRST, 7, "superbatch")] == named(result.findings)
    for chain in CHAINS:
        assert [(chain, 7, "block hash")] == named(
            compare_served(result, chain, promised[chain], 7, "a node")
        )


async def test_wrong_and_impossible_outputs_are_named() -> None:
    """Each proposed root is held against the rebuilt one; one of a block that L1 doesn't give is no better."""
    setting = await Setting().begin()
    result = await setting.verify({SECOND: [2, 4, 6]})
    roots = {number: output.root for number, output in result.outputs[SECOND].items()}
    assert [2, 4, 6] == sorted(roots)
    before = result.compared
    assert [] == compare_outputs(result, SECOND, roots, "L1")
    assert before + 3 == result.compared
    found = compare_outputs(result, SECOND, {**roots, 4: WRONG, 9: WRONG}, "L1")
    assert [(SECOND, 4, "output root"), (SECOND, 9, "output root")] == named(found)
    assert (roots[4], True) == (found[0].derived, "not derivable" in found[1].derived)
    with pytest.raises(KeyError):
        compare_outputs(result, FIRST, {2: WRONG}, "L1")


async def test_an_output_commits_to_all_of_its_parts() -> None:
    """Version 0 of the OP Stack: keccak of a zero word, state root, storage root and block hash, in that order."""
    engine = ToyEngine()
    header: Header = await engine.start()
    output = await read_output(engine, header)
    parts = [
        bytes(32),
        *(
            bytes.fromhex(part[2:])
            for part in (output.state_root, output.message_passer_root, output.block_hash)
        ),
    ]
    assert to_hex(keccak256(b"".join(parts))) == output.root
    roots = {
        replace(output, **{part: WRONG}).root for part in ("block_hash", "state_root", "message_passer_root")
    }
    assert 4 == len({*roots, output.root})
    assert Output(0, header.hash, header.state_root, output.message_passer_root) == output
