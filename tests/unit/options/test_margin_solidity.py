"""I10: margins, risk rows, leaves and steps on a real engine against the Python that settles: the same integers, the same refusals.

The reference has Vyper as a third; this project has none.
"""

import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from bridge.contracts.artifacts import FOLDER, Artifact, artifact
from bridge.contracts.testing_mutants import COMPILING_S
from bridge.wire.errors import RpcError
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, keccak256, to_hex
from orchestrator.market.scratch import scratch_anvil
from rollup_node.engines.options.omissions import holder_of
from rollup_node.engines.options.pricing.testing import inputs
from rollup_node.engines.options.risk.margin import Mode
from rollup_node.engines.options.risk.rows import OracleState, Terms, risk_row
from rollup_node.engines.options.risk.testing import NOW, SPOTS, TERMS, account, oracle, risks_of
from rollup_node.engines.options.state.leaves import Account, Kind, Oracle, Series
from rollup_node.engines.options.state.tree import EMPTY, LeafProof, Tree
from rollup_node.engines.options.state.world import World
from rollup_node.engines.options.transition.context import Context
from rollup_node.engines.options.transition.margins import Risks, final_row, margin_of
from rollup_node.engines.options.transition.risk import EXPIRED
from rollup_node.engines.options.transition.sealing import step_proof, steps_root, verify_step
from rollup_node.engines.options.transition.testing import PARAMETERS
from rollup_node.engines.options.values import INT64_MAX, PRICE_UNIT, UINT32_MAX, UINT64_MAX, WAD, Overflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

GAS = 200_000_000
BATCH = 12
"""Calls at once: a margin of 32 positions is some 60 kB, and the engine takes no more than 2 MB."""


@dataclass(frozen=True, slots=True)
class Code:
    """A contract's code on an engine."""

    client: Client
    address: str
    contract: Artifact

    async def ask(self, function: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """What each call returns; None where it reverts with an error of its own."""
        encoded = [self.contract.interface.encode_call(function, *arguments) for arguments in calls]
        found: list[Any] = []
        for start in range(0, len(encoded), BATCH):
            asked = [
                ("eth_call", [{"to": self.address, "data": to_hex(data), "gas": hex(GAS)}, "latest"])
                for data in encoded[start : start + BATCH]
            ]
            for answer in await self.client.batch(asked):
                if isinstance(answer, RpcError):
                    assert isinstance(answer.data, str), answer
                    found.append(None)
                else:
                    found.append(self.contract.interface.decode_result(function, from_hex(answer)))
        return found

    async def gas(self, function: str, *arguments: Any) -> int:
        """Used by a call, calldata included."""
        data = self.contract.interface.encode_call(function, *arguments)
        request = {"to": self.address, "data": to_hex(data), "gas": hex(GAS)}
        traced = await self.client.call("debug_traceCall", request, "latest", {"tracer": "callTracer"})
        return int(traced["gasUsed"], 16)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Client]:
    """An engine with the contract of the proofs, and the probe of its parts."""
    async with scratch_anvil("--gas-limit", str(GAS)) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def margins(engine: Client) -> Code:
    """Margins by leaves."""
    return await _placed(engine, "LiquidationOmission", "0x" + "11" * 20)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def probe(engine: Client) -> Code:
    """Its parts."""
    return await _placed(engine, "RiskProbe", "0x" + "22" * 20)


async def _placed(engine: Client, name: str, address: str) -> Code:
    contract = artifact(name)
    await engine.call("anvil_setCode", address, to_hex(contract.runtime_code))
    return Code(engine, address, contract)


def _market(settled: Sequence[int] = ()) -> World:
    """Two underlyings, two expiries, calls and puts; of some series the settlement price is known."""
    world, risks = World(), risks_of()
    for underlying in range(2):
        said = oracle(underlying)
        quoted = {
            (terms.expiry, terms.strike): said.volatilities[terms.series]
            for terms in TERMS
            if terms.underlying == underlying
        }
        world.oracles[underlying] = Oracle(
            signers=(b"\1" * 20, b"\2" * 20), sequence=said.sequence, timestamp=said.timestamp, spot=said.spot,
            discount=said.discount, confidence=said.confidence, forwards=tuple(sorted(said.forwards.items())),
            volatilities=tuple((*place, volatility) for place, volatility in sorted(quoted.items())),
        )  # fmt: skip
    for terms in TERMS:
        over = terms.series in settled
        world.series[terms.series] = Series(
            terms.underlying, terms.expiry, terms.strike, terms.is_call, 1, 1, EXPIRED if over else 0, SPOTS[0] if over else 0
        )  # fmt: skip
        payoff = terms.payoff(SPOTS[terms.underlying] * 11 // 10)
        world.risk[terms.series] = final_row(payoff, 1) if over else risks[terms.series].row
    return world


def _drawn(chance: random.Random, number: int) -> Account:
    """An account of either mode; now and then one whose numbers are as large as they can be."""
    drawn = account(chance, risks_of())
    positions = drawn.positions
    if chance.random() < 0.3:
        size = chance.choice((20, 32))
        series = sorted(chance.sample(range(len(TERMS)), size))
        positions = tuple((one, chance.choice((-1, 1)) * chance.randint(1, 10**6)) for one in series)
    if chance.random() < 0.1:
        positions = tuple(
            (series, chance.choice((INT64_MAX, -INT64_MAX, quantity))) for series, quantity in positions
        )
    portfolio = Mode.PORTFOLIO if chance.random() < 0.5 else Mode.STANDARD
    reserved = chance.choice((0, 0, 7 * PRICE_UNIT, -(10**9)))
    return Account(number.to_bytes(20, "big"), 3, drawn.cash, reserved, bool(portfolio), positions=positions)


async def _margins_agree(margins: Code, count: int, seed: int) -> None:
    chance = random.Random(seed)
    world = _market(settled=(3, 8, 9, 20))
    for number in range(1, count + 1):
        world.accounts[number] = _drawn(chance, number)
    context = Context(PARAMETERS, 1, NOW, Risks(world))
    root = world.root()
    expected = []
    for number in sorted(world.accounts):
        found = margin_of(world, context, number)
        expected.append(((found.equity, found.maintenance, found.owing), 0))
    cases = [(root, holder_of(world, number).arguments) for number in sorted(world.accounts)]
    assert expected == await margins.ask("marginOf", cases)
    below = sum(equity < maintenance for (equity, maintenance, _), _ in expected)
    assert count // 10 < below < count  # both kinds were seen


async def test_the_margin_of_random_accounts_is_the_same_in_both(margins: Code) -> None:
    """Equity, maintenance margin and whether it may owe, by proven leaves: both modes, settled series, up to 32 positions of any size."""
    await _margins_agree(margins, 100, 10)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(3))
async def test_the_margin_of_thousands_of_accounts_is_the_same_in_both(margins: Code, seed: int) -> None:
    """As above, more of them."""
    await _margins_agree(margins, 1_000, seed)


async def test_an_account_whose_legs_are_held_is_left_to_the_engine(margins: Code) -> None:
    """Locked legs, what is asked for them, what is owed for them: each alone is enough for the contract to say that it can't tell."""
    world = _market()
    plain = Account(bytes(20), cash=5, positions=((1, 7),))
    for number, held in enumerate(({}, {"locks": ((1, 7),)}, {"locked": 1}, {"due": -1}), 1):
        world.accounts[number] = replace(plain, **held)
    cases = [(world.root(), holder_of(world, number).arguments) for number in sorted(world.accounts)]
    first, *others = await margins.ask("marginOf", cases)
    assert (first is not None, [None] * 3) == (True, others)


async def test_a_margin_costs_what_a_dispute_may(margins: Code) -> None:
    """Gas with calldata, by the count of positions: the most that an account may have fits a transaction many times."""
    world, used = _market(), {}
    for number, count in enumerate((1, 8, 16, 32), 1):
        positions = tuple((one, -10_000 * (-1) ** one) for one in range(count))
        world.accounts[number] = Account(bytes(20), cash=10**9, portfolio=True, positions=positions)
        world.accounts[10 + number] = replace(world.accounts[number], portfolio=False)
    for number in sorted(world.accounts):
        holder = holder_of(world, number)
        used[number] = await margins.gas("marginOf", world.root(), holder.arguments)
    assert all(gas < 3_500_000 for gas in used.values()), used
    assert used[2] < 800_000, used


async def _rows_agree(probe: Code, count: int, seed: int) -> None:
    cases: list[tuple[Any, ...]] = []
    expected: list[Any] = []
    for index, (forward, strike, volatility, seconds, discount) in enumerate(inputs(count, seed)):
        if max(forward, strike, volatility, discount) > UINT64_MAX or not 0 <= seconds <= UINT32_MAX:
            continue  # the state has no place for such
        terms = Terms(index, 1, NOW + seconds, strike, bool(index % 2))
        said = OracleState(1, 1, {terms.expiry: forward}, {index: volatility}, discount, WAD, 1, NOW)
        try:
            row = risk_row(terms, said)
            expected.append((row.mark, row.changes))
        except Overflow:
            expected.append(None)
        world = World()
        world.series[index] = Series(1, terms.expiry, strike, terms.is_call, 1, 1)
        places = sorted({(NOW, 7, 1), (terms.expiry, strike, volatility)})
        forwards = tuple(sorted({NOW: 5, terms.expiry: forward}.items()))
        world.oracles[1] = Oracle((b"\7" * 20,), timestamp=NOW, discount=discount, forwards=forwards, volatilities=tuple(places))  # fmt: skip
        leaves = [world.prove(Kind.SERIES, index), world.prove(Kind.ORACLE, 1)]
        cases.append((world.root(), *((one.leaf, one.proof.encode()) for one in leaves)))
    found = await probe.ask("row", cases)
    assert expected == [one and (one[0], tuple(one[1])) for one in found]
    assert len(cases) // 3 < sum(one is not None for one in expected) < len(cases)


async def test_random_risk_rows_are_the_same_in_both(probe: Code) -> None:
    """The mark and sixteen changes by the leaves of series and oracle, bit for bit, or an overflow in both; extremes among them."""
    await _rows_agree(probe, 60, 11)


@pytest.mark.long
async def test_thousands_of_risk_rows_are_the_same_in_both(probe: Code) -> None:
    """As above, more of them."""
    await _rows_agree(probe, 2_000, 12)


async def test_a_proof_of_a_leaf_means_the_same_in_both(probe: Code) -> None:
    """Leaves that are there and that aren't, in small and large trees; and bytes that are no proof."""
    chance = random.Random(13)
    cases, expected = [], []
    for _ in range(20):
        tree = Tree()
        tree.update(
            {chance.randrange(1 << 32): chance.randbytes(9) for _ in range(chance.choice((0, 1, 3, 200)))}
        )
        for _ in range(3):
            index, leaf = chance.randrange(1 << 32), chance.choice((None, b"leaf"))
            tree.update({index: leaf})
            data = tree.prove(index).encode()
            digest = keccak256(leaf) if leaf else EMPTY
            assert LeafProof.decode(data).root(digest) == tree.root
            cases += [(digest, index, data), (digest, index ^ 1, data), (digest, index, data + b"\0"), (digest, index, data[:-1])]  # fmt: skip
            expected += [(tree.root,), None, None, None]
    assert expected == await probe.ask("rootOf", cases)


async def test_a_step_is_proven_the_same_in_both(probe: Code) -> None:
    """Every step of blocks of 1 to 9 at every place and with every count near theirs."""
    cases, expected = [], []
    for count in range(1, 10):
        raws = [bytes([count, place]) for place in range(count)]
        steps = [(keccak256(raw), keccak256(raw + b"root")) for raw in raws]
        root = steps_root(steps)
        for place in range(count):
            proof = step_proof(steps, place)
            for said, where in (
                (count, place),
                (count, place + 1),
                (count + 1, place),
                (max(1, count - 1), place),
            ):
                cases.append((root, said, where, (raws[place], steps[place][1], proof)))
                right = verify_step(root, said, where, steps[place], proof)
                expected.append((0, 0) if right else None)
    assert expected == await probe.ask("step", cases)
    assert 40 < expected.count(None) < len(expected) - 40


MUTANTS = {
    "equity is rounded up": ("AccountMargin", "_fitting(cash + _floor(value))", "_fitting(cash - _floor(-value))"),
    "reserved cash counts": ("StateLeaves", " - int128(uint128(_number(data, 46, 16)))", ""),
    "maintenance is rounded down": ("AccountMargin", "portfolio ? -_floor(-_scanned(held))", "portfolio ? _floor(_scanned(held))"),
    "no floor of shorts": ("AccountMargin", "if (quantity < 0) losses[16]", "if (quantity < -1e30) losses[16]"),
    "the last scenario is left out": ("AccountMargin", "scenario < 16;", "scenario < 15;"),
    "underlyings offset each other": ("AccountMargin", "if (one.underlying != held[place].underlying) continue;", ""),
    "expiries offset each other": ("AccountMargin", "&& held[one].expiry == held[other].expiry", ""),
    "calls sold are covered": ("AccountMargin", "if (one.isCall) slope", "if (one.isCall && slope > 0) slope"),
    "settled series still move": ("LiquidationOmission", "if (series.over) return held;", ""),
}  # fmt: skip
"""File, what stands there, and what a mutant has instead."""


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_mutants_of_the_contract_compute_something_else(engine: Client, tmp_path: Path) -> None:
    """Each of these mistakes shows in the margins of some hundred accounts."""
    if shutil.which("node") is None:
        pytest.skip("compiling needs Node")
    codes, survivors = _compiled(tmp_path), []
    for number, (name, code) in enumerate(codes.items()):
        address = "0x" + "33" * 19 + f"{number:02x}"
        await engine.call("anvil_setCode", address, to_hex(code))
        try:
            await _margins_agree(Code(engine, address, artifact("LiquidationOmission")), 300, 10)
        except AssertionError:
            continue
        survivors.append(name)
    assert [] == survivors


def _compiled(folder: Path) -> dict[str, bytes]:
    """Runtime code of the contract with one line changed, by mutant; all compiled in one run."""
    home = folder / "bridge" / "contracts"
    shutil.copytree(FOLDER.parent / "src", home / "src", ignore=shutil.ignore_patterns("testing", "options"))
    for number, (file, before, after) in enumerate(MUTANTS.values()):
        there = home / "src" / f"mutant{number}"
        shutil.copytree(FOLDER.parent / "src" / "options", there)
        text = (there / f"{file}.sol").read_text()
        assert 1 == text.count(before), before
        (there / f"{file}.sol").write_text(text.replace(before, after))
        contract = there / "LiquidationOmission.sol"
        renamed = contract.read_text().replace(
            "\ncontract LiquidationOmission ", f"\ncontract Mutant{number} "
        )
        contract.write_text(renamed)
    (folder / "node_modules").symlink_to(FOLDER.parents[2] / "node_modules")
    shutil.copy(FOLDER.parent / "compile.mjs", home)
    subprocess.run(["node", str(home / "compile.mjs")], check=True, timeout=COMPILING_S)
    return {
        name: bytes.fromhex(
            orjson.loads((home / "artifacts" / f"Mutant{number}.json").read_bytes())["deployedBytecode"][2:]
        )
        for number, name in enumerate(MUTANTS)
    }
