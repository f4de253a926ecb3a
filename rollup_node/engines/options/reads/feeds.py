"""Feeds: what subscribers are told of a block. Pure: (what was told before, what is so now) → what is sent.

::

    feed, params ─► view (of one block, ``options_getFeed``) ─► messages (against the view before) ─► the hub, to each subscriber

A feed is a read of its own, so whoever has missed something asks for it, and nothing is in a message that the chain doesn't tell. Feeds of a
*state* (a book, marks, margin) say all of it when it has changed, so a subscriber that reads slowly may skip blocks and still ends with what
is so. The feed of *trades* says each once: it tells of all blocks since the last one that was told.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from bridge.wire.errors import INVALID_PARAMS, LIMIT_EXCEEDED, RpcError
from bridge.wire.keccak import to_hex
from rollup_node.engines.options.reads import market, portfolio, views
from rollup_node.engines.options.reads.kinds import NUMBER, TEXT, Param, read_params
from rollup_node.engines.options.reads.scene import Scene

View: TypeAlias = Mapping[str, Any]
"""What a feed says of a block: ``feed``, ``params``, ``block``, ``hash``, ``timestamp``, and ``data``, or ``error`` where there is no saying."""
MOST_BLOCKS: Final = market.TRADE_BLOCKS
"""That one view of trades spans."""


@dataclass(frozen=True, slots=True)
class Feed:
    """Something that can be subscribed to."""

    name: str
    summary: str
    params: tuple[Param, ...]
    look: Callable[..., Any]
    """Gets a scene, the number of the block since which it tells if ``each``, and the parameters."""
    each: bool = False
    """Whether it tells what happened, once; otherwise it tells a state, when it has changed."""


def view(scene: Scene, name: str, params: Sequence[Any] | None, since: int | None) -> dict[str, Any]:
    """``options_getFeed``: what a feed says of a block.

    Args:
        scene: at the block.
        name: of the feed.
        params: of the feed, by position.
        since: trades are those of the blocks after this one; by default of one block alone.

    Raises:
        RpcError: no such feed, or not its parameters.
        Refused: there is no such series or account.
    """
    feed = FEEDS.get(name)
    if feed is None:
        raise RpcError(INVALID_PARAMS, f"no {name!r} feed; there are {', '.join(FEEDS)}")
    said = list(params or ())
    arguments = read_params(f"the {name} feed", feed.params, said)
    data = feed.look(scene, since, *arguments) if feed.each else feed.look(scene, *arguments)
    if isinstance(data, dict):
        data.pop("block", None)  # which it always is: that alone is no change
    return {
        "feed": name,
        "params": said,
        "block": scene.number,
        "hash": to_hex(scene.head.hash),
        "timestamp": scene.head.sealed.timestamp,
        "data": data,
    }


def messages(before: View | None, after: View) -> list[View]:
    """What a subscriber is sent of a view: nothing if it says nothing new.

    Args:
        before: what the subscriber was shown last, in any block; None if nothing yet.
        after: of the last block.
    """
    if "data" in after and FEEDS[after["feed"]].each:
        return [after] if after["data"] else []
    unchanged = before is not None and all(before.get(key) == after.get(key) for key in ("data", "error"))
    return [] if unchanged else [after]


def ticker(scene: Scene, number: int) -> dict[str, Any]:
    """A series' mark, Greeks and best prices, null where there is none; quantities are those at the price."""
    told = market.series_json(scene, number)
    bid, bid_quantity, ask, ask_quantity = views.best(scene, number)
    return {
        **{key: told[key] for key in ("series", "status", "mark", "openInterest", "settlement")},
        "bid": [str(bid), str(bid_quantity)] if bid_quantity else None,
        "ask": [str(ask), str(ask_quantity)] if ask_quantity else None,
        "greeks": market.contracts(scene, [number]).get(number),
    }


def trades(scene: Scene, since: int | None, number: int | None) -> list[dict[str, Any]]:
    """Trades of the blocks after one, the oldest first."""
    if number is not None:
        views.series(scene, number)
    first = scene.number if since is None else since + 1
    if scene.number - first >= MOST_BLOCKS:
        raise RpcError(LIMIT_EXCEEDED, f"more than {MOST_BLOCKS} blocks since {since}; ask options_getTrades")
    wanted, found = market.trade_filter(number), []
    for block in range(first, scene.number + 1):
        at = Scene(scene.chain, block)
        if wanted.may_match(at.head.sealed.bloom):
            found += list(market.trades_of(at, wanted))[::-1]
    return found


_SERIES, _ACCOUNT = Param("series", NUMBER), Param("account", NUMBER)
_LEVELS, _SYMBOL = (
    Param("levels", NUMBER, required=False),
    Param("underlying", TEXT, required=False),
)
_ANY_SERIES = Param("series", NUMBER, required=False)

FEEDS: Final[Mapping[str, Feed]] = {
    feed.name: feed
    for feed in (
        Feed("book", "Price levels of a series' book, 20 of each side by default.", (_SERIES, _LEVELS), market.book),
        Feed("ticker", "A series' mark, Greeks and best prices.", (_SERIES,), ticker),
        Feed("trades", "Trades of a series, or all.", (_ANY_SERIES,), trades, each=True),
        Feed("marks", "Oracle prices, marks and Greeks of an underlying's series, or all.", (_SYMBOL,), market.marks),
        Feed("greeks", "Greeks of an account's positions.", (_ACCOUNT,), portfolio.greeks),
        Feed("margin", "Equity and requirements of an account.", (_ACCOUNT,), portfolio.margin),
        Feed("positions", "An account's positions at their marks.", (_ACCOUNT,), portfolio.positions),
        Feed("orders", "An account's resting orders.", (_ACCOUNT,), portfolio.orders),
    )
}  # fmt: skip
"""By name."""
