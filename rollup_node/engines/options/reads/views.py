"""View functions of the Solidity interfaces, and those of the message passer that tools ask for: answers for ``eth_call``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from bridge.wire.errors import Malformed
from bridge.wire.keccak import keccak256
from rollup_node.engines.options.book.orders import Side
from rollup_node.engines.options.reads import auctions
from rollup_node.engines.options.reads.bridge import BRIDGE_VIEWS
from rollup_node.engines.options.reads.scene import Scene
from rollup_node.engines.options.risk.rows import RiskRow
from rollup_node.engines.options.state.leaves import Account, Series
from rollup_node.engines.options.transactions import abi
from rollup_node.engines.options.transactions.interfaces import (
    ACCOUNTS,
    EXCHANGE,
    LIQUIDATION,
    MESSAGE_PASSER,
    ORACLE,
    RISK,
)
from rollup_node.engines.options.transactions.refusals import Refused
from rollup_node.engines.options.transition.accounts import account, owner_of
from rollup_node.engines.options.transition.breakers import WHOLE, highest
from rollup_node.engines.options.transition.margins import margin_of
from rollup_node.engines.options.transition.oracle import find
from rollup_node.engines.options.transition.withdrawals import MESSAGE_VERSION, storage_slot

Run: TypeAlias = Callable[..., tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class View:
    """A function that only tells."""

    name: str
    arguments: abi.Struct
    results: abi.Struct
    run: Run

    def answer(self, arguments: tuple[Any, ...], scene: Scene) -> bytes:
        """Its return data."""
        return abi.encode(self.results, self.run(scene, *arguments))


def find_view(target: bytes | None, calldata: bytes) -> Callable[[Scene], bytes] | None:
    """What a call asks for; None if it is no view function.

    Raises:
        Refused: its arguments aren't encoded as they must be.
    """
    view = VIEWS.get((target or b"", calldata[:4]))
    if view is None:
        return None
    try:
        arguments = abi.decode(view.arguments, calldata[4:])
    except Malformed:
        raise Refused("MalformedCall", calldata[:4]) from None
    return partial(view.answer, arguments)


def series(scene: Scene, number: int) -> Series:
    """A series that there is."""
    found = scene.world.series.get(number)
    if found is None:
        raise Refused("UnknownSeries", number)
    return found


def row(scene: Scene, number: int) -> RiskRow:
    """A series' risk row."""
    found = scene.world.risk.get(number)
    if found is None:
        raise Refused("UnknownSeries", number)
    return found


def best(scene: Scene, number: int) -> tuple[int, int, int, int]:
    """Best bid and ask with their quantities; zeros where there is none."""
    series(scene, number)
    book = scene.world.books.get(number)
    if book is None:
        return 0, 0, 0, 0
    bids, asks = book.depth(Side.BUY, 1), book.depth(Side.SELL, 1)
    return *(bids[0] if bids else (0, 0)), *(asks[0] if asks else (0, 0))


def known(scene: Scene, number: int) -> Account:
    """An account that there is."""
    return account(scene.world, number)


def _accounts_of(scene: Scene, owner: bytes) -> tuple[Any, ...]:
    found = owner_of(scene.world, owner)
    return (found.accounts if found else (),)


def _cash_of(scene: Scene, number: int) -> tuple[Any, ...]:
    return (known(scene, number).cash,)


def _margin_of(scene: Scene, number: int) -> tuple[Any, ...]:
    known(scene, number)
    margin = margin_of(scene.world, scene.context(), number)
    return margin.equity, margin.initial, margin.maintenance


def _positions_of(scene: Scene, number: int) -> tuple[Any, ...]:
    positions = known(scene, number).positions
    return tuple(one for one, _ in positions), tuple(quantity for _, quantity in positions)


def _series_of(scene: Scene, number: int) -> tuple[Any, ...]:
    found = series(scene, number)
    symbol = scene.parameters.markets[found.underlying].symbol
    return symbol, found.expiry, found.strike, found.is_call, found.status, found.settlement


def _spot_of(scene: Scene, symbol: bytes) -> tuple[Any, ...]:
    _, oracle = find(scene.world, scene.context(), symbol)
    return oracle.spot, oracle.sequence, oracle.timestamp


def _row_of(scene: Scene, number: int) -> tuple[Any, ...]:
    found = row(scene, number)
    return found.mark, found.changes, found.sequence


def _level_of(scene: Scene, symbol: bytes) -> tuple[Any, ...]:
    if symbol == WHOLE:
        return (highest(scene.world),)
    return (max(find(scene.world, scene.context(), symbol)[1].level, scene.world.globals.level),)


def _sent(scene: Scene, digest: bytes) -> tuple[Any, ...]:
    return (storage_slot(digest) in scene.world.messages,)


def _message_nonce(scene: Scene) -> tuple[Any, ...]:
    return (MESSAGE_VERSION << 240 | scene.world.globals.withdrawals,)


def _message_version(_scene: Scene) -> tuple[Any, ...]:
    return (MESSAGE_VERSION,)


_TABLE: Final[tuple[tuple[bytes, str, str, str, Run], ...]] = (
    (ACCOUNTS, "accountsOf", "(address)", "(uint32[])", _accounts_of),
    (ACCOUNTS, "cashOf", "(uint32)", "(int128)", _cash_of),
    (ACCOUNTS, "marginOf", "(uint32)", "(int128,int128,int128)", _margin_of),
    (ACCOUNTS, "positionsOf", "(uint32)", "(uint32[],int64[])", _positions_of),
    (EXCHANGE, "seriesOf", "(uint32)", "(bytes32,uint64,uint64,bool,uint8,uint64)", _series_of),
    (EXCHANGE, "bestOf", "(uint32)", "(uint64,uint64,uint64,uint64)", best),
    (ORACLE, "spotOf", "(bytes32)", "(uint64,uint64,uint64)", _spot_of),
    (RISK, "levelOf", "(bytes32)", "(uint8)", _level_of),
    (RISK, "rowOf", "(uint32)", "(int64,int64[16],uint64)", _row_of),
    (
        LIQUIDATION,
        "auctionOf",
        "(uint32)",
        "(uint64,uint8,int128,int128,uint32,uint32)",
        auctions.auction_of,
    ),
    (LIQUIDATION, "backstopVault", "()", "(address,uint32)", auctions.vault),
    (MESSAGE_PASSER, "sentMessages", "(bytes32)", "(bool)", _sent),
    (MESSAGE_PASSER, "messageNonce", "()", "(uint256)", _message_nonce),
    (MESSAGE_PASSER, "MESSAGE_VERSION", "()", "(uint16)", _message_version),
)


def _struct(text: str) -> abi.Struct:
    kind = abi.parse(text)
    assert isinstance(kind, abi.Struct)
    return kind


VIEWS: Final[Mapping[tuple[bytes, bytes], View]] = {
    (target, keccak256((name + arguments).encode())[:4]): View(
        name, _struct(arguments), _struct(results), run
    )
    for target, name, arguments, results, run in (*_TABLE, *BRIDGE_VIEWS)
}
"""By system address and selector; a test holds them to the compiled interfaces."""
