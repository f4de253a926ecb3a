"""``Black76.sol`` on a real engine against ``black76.py``: the same bits, the same refusals."""

from collections.abc import AsyncIterator, Sequence

import pytest
import pytest_asyncio

from bridge.contracts.artifacts import artifact
from bridge.wire.jsonrpc import Client
from bridge.wire.keccak import from_hex, to_hex
from orchestrator.market.scratch import scratch_anvil
from rollup_node.engines.options.pricing.black76 import call_put
from rollup_node.engines.options.pricing.testing import Input, inputs
from rollup_node.engines.options.values import Overflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRICER = "0x" + "76" * 20
CODE = artifact("Pricer")
GAS = 200_000_000
BATCH = 1_000
SEED = 76


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[Client]:
    """An engine with the pricer."""
    async with scratch_anvil("--gas-limit", str(GAS)) as client:
        await client.call("anvil_setCode", PRICER, to_hex(CODE.runtime_code))
        yield client


async def _in_solidity(engine: Client, values: Sequence[Input]) -> list[tuple[int, int, int] | None]:
    request = {
        "to": PRICER,
        "data": to_hex(CODE.interface.encode_call("prices", values)),
        "gas": hex(GAS),
    }
    answer = from_hex(await engine.call("eth_call", request, "latest"))
    known, priced = CODE.interface.decode_result("prices", answer)
    return [found if has else None for has, found in zip(known, priced, strict=True)]


def _in_python(values: Input) -> tuple[int, int, int] | None:
    try:
        priced = call_put(*values)
    except Overflow:
        return None
    return priced.call, priced.put, priced.delta


async def _agree(engine: Client, count: int) -> None:
    overflows = 0
    everything = list(inputs(count, SEED))
    for start in range(0, count, BATCH):
        some = everything[start : start + BATCH]
        expected = [_in_python(values) for values in some]
        overflows += expected.count(None)
        found = await _in_solidity(engine, some)
        assert [] == [case for case in zip(some, expected, found, strict=True) if case[1] != case[2]]
    assert count // 50 < overflows < count // 3  # both kinds were seen


async def test_three_hundred_inputs_have_the_same_prices_in_both(engine: Client) -> None:
    """Call, put and delta bit for bit, or an overflow in both."""
    await _agree(engine, 300)


@pytest.mark.long
async def test_ten_thousand_inputs_have_the_same_prices_in_both(engine: Client) -> None:
    """Call, put and delta bit for bit, or an overflow in both."""
    await _agree(engine, 10_000)


async def test_a_price_costs_less_than_eight_thousand_gas(engine: Client) -> None:
    """What a step of a dispute may count on, calldata and the test's loop included: a hundred prices more."""
    some = [values for values in inputs(900, SEED) if _in_python(values) is not None]

    async def used(count: int) -> int:
        data = CODE.interface.encode_call("prices", some[:count])
        request = {"to": PRICER, "data": to_hex(data), "gas": hex(GAS)}
        traced = await engine.call("debug_traceCall", request, "latest", {"tracer": "callTracer"})
        return int(traced["gasUsed"], 16)

    assert 3_000 < (await used(200) - await used(100)) / 100 < 8_000
