"""What ``options_getFees`` and ``options_getBreakers`` tell, held against the state, and the level as a contract reads it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from bridge.wire.keccak import keccak256, to_hex
from rollup_node.engines.options.testing import Both, options_engine
from rollup_node.engines.options.transactions.interfaces import RISK
from rollup_node.engines.options.transition.breakers import WHOLE
from rollup_node.engines.options.transition.testing import PARAMETERS, SYMBOL, Desk, address, order
from rollup_node.engines.options.values import PRICE_UNIT

DOLLAR = PRICE_UNIT


async def test_fees_and_levels_are_those_of_the_state(tmp_path: Path) -> None:
    """Kinds sum to the gross, of which each unit is the sequencer's, the fund's or not swept yet; the higher level counts everywhere."""
    desk = Desk(
        replace(PARAMETERS, step_roots=False, withdrawal_fee=DOLLAR, breaker_deviation_ppm=100_000, breaker_insolvency=True)
    )  # fmt: skip
    desk.open_market({"alice": 20_000, "bob": 20_000})
    alice, bob = desk.account("alice"), desk.account("bob")
    desk.block(
        desk.send("bob", "placeOrder", order(bob, 1, 240 * DOLLAR, 10_000)),
        desk.send("alice", "placeOrder", order(alice, 1, 240 * DOLLAR, -10_000)),
        desk.send("bob", "withdraw", bob, address("bob"), DOLLAR),
    )
    desk.block(desk.update(3_400 * DOLLAR))
    questions: list[tuple[str, list[Any]]] = [
        ("options_getFees", []),
        ("options_getBreakers", []),
        ("options_getMarks", []),
        *(
            ("eth_call", [{"to": to_hex(RISK), "data": to_hex(keccak256(b"levelOf(bytes32)")[:4] + symbol)}])
            for symbol in (SYMBOL, WHOLE)
        ),
    ]
    async with options_engine(tmp_path, desk) as engine:
        await engine.start()
        await Both(desk, engine).catch_up()
        fees, breakers, marks, own, whole = [await engine.request(*question) for question in questions]
    taker, maker = 240 * DOLLAR * 3 // 1_000, 240 * DOLLAR // 1_000
    kinds = {kind: int(amount) for kind, amount in fees["kinds"].items() if amount != "0"}
    assert {"taker": taker, "maker": maker, "withdrawal": DOLLAR} == kinds
    parts = [int(fees[part]) for part in ("gross", "sequencer", "insurance", "unswept", "volume")]
    gross = taker + maker + DOLLAR
    assert [gross, gross - gross // 5, gross // 5, 0, 240 * DOLLAR] == parts
    assert (2, "cancel only", 0) == (breakers["level"], breakers["name"], breakers["rollup"]["level"])
    (one,) = breakers["underlyings"]
    assert ("ETH", 2, str(3_400 * DOLLAR), str(3_000 * DOLLAR)) == (
        one["underlying"],
        one["level"],
        one["spot"],
        one["previous"],
    )
    assert (2, 2, 2) == (marks[0]["breaker"], int(own, 16), int(whole, 16))
