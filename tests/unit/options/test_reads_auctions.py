"""What an options rollup tells of auctions, by its own methods and by the view functions of the interface: what a bid then meets."""

from pathlib import Path

import pytest
from eth_abi.abi import decode, encode

from bridge.wire.errors import RpcError
from bridge.wire.keccak import from_hex, keccak256, to_hex
from rollup_node.engines.options.testing import Both, options_engine
from rollup_node.engines.options.transactions.interfaces import LIQUIDATION
from rollup_node.engines.options.transition.backstop import BACKSTOP
from rollup_node.engines.options.transition.testing import Desk, order
from rollup_node.engines.options.transition.testing_auctions import sent
from rollup_node.engines.options.values import PARTS, PRICE_UNIT

DOLLAR = PRICE_UNIT
ONE = 10_000
VIEWS: tuple[tuple[str, list[str], list[str]], ...] = (
    ("auctionOf", ["uint32"], ["uint64", "uint8", "int128", "int128", "uint32", "uint32"]),
    ("backstopVault", [], ["address", "uint32"]),
)


async def test_an_auction_is_told_as_bids_meet_it(tmp_path: Path) -> None:
    """Value, price and largest share by both ways; at an older block there was none; the vault is there once it has cash."""
    desk = Desk()
    desk.open_market({"alice": 100_000, "bob": 100_000, "dan": 850})
    bob, dan = desk.account("bob"), desk.account("dan")
    desk.block(
        desk.send("bob", "placeOrder", order(bob, 1, 240 * DOLLAR, ONE)),
        desk.send("dan", "placeOrder", order(dan, 1, 240 * DOLLAR, -ONE)),
    )
    desk.block(sent(desk, "alice", BACKSTOP, 70 * DOLLAR))
    desk.block(desk.update(3_600 * DOLLAR))
    desk.block(desk.send("bob", "bid", bob, dan, 100_000, 10**12))
    async with options_engine(tmp_path, desk) as engine:
        await engine.start()
        await Both(desk, engine).catch_up()
        told = await engine.request("options_getAuction", [dan])
        assert [told] == await engine.request("options_getAuctions", [])
        assert ([], None) == (
            await engine.request("options_getAuctions", [hex(desk.number - 2)]),
            await engine.request("options_getAuction", [bob]),
        )
        with pytest.raises(RpcError, match="UnknownAccount"):
            await engine.request("options_getAuction", [9_999])
        answers = []
        for name, types, results in VIEWS:
            data = keccak256(f"{name}({','.join(types)})".encode())[:4] + encode(types, [dan][: len(types)])
            answer = await engine.request(
                "eth_call", [{"to": to_hex(LIQUIDATION), "data": to_hex(data)}, "latest"]
            )
            answers.append(decode(results, from_hex(answer)))
        vault = await engine.request("options_getBackstop", [])
    auction = desk.world.auctions[dan]
    account = desk.world.accounts[dan]
    mark = desk.world.risk[1].mark
    value = account.cash - auction.reserved - mark * 9 // 10
    assert ("solvent", auction.started, str(auction.reserved)) == (
        told["phase"],
        told["started"],
        told["reserved"],
    )
    assert [{"series": 1, "quantity": str(-9_000)}] == told["positions"]
    assert abs(value - int(told["value"])) <= 1
    assert 0 < told["most"] < PARTS
    assert 950_000 - 250_000 // desk.parameters.auction_fast_seconds == told["priceShare"]
    assert answers[0] == (
        auction.started, 0, int(told["value"]), auction.reserved, told["priceShare"], told["most"],
    )  # fmt: skip
    owner, number = answers[1]
    assert (to_hex(BACKSTOP), str(70 * DOLLAR), vault["account"]) == (vault["owner"], vault["cash"], number)
    assert to_hex(BACKSTOP) == owner.lower()
