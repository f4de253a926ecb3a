"""Feeds of an engine's own, pushed to WebSocket connections after each decided block.

::

    commit ─► due ─► one pass: each different view of the gate's block is read once ─► messages ─► connections' outboxes

One task for the whole node, so a commit only sets an event and never waits for a subscriber. What is read is pinned to the gate, and thrown
away if the chain went back meanwhile: no subscriber hears of an undecided block. While a pass is under way further commits only make
the next one due, and a connection that hasn't sent off what it was told before is passed over: both get the state of the last block
then, and all that happened since.
"""

import asyncio
import secrets
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import orjson
import structlog

from bridge.wire.errors import INTERNAL_ERROR, INVALID_PARAMS, LIMIT_EXCEEDED, RpcError
from rollup_node.chain import Chain
from rollup_node.engines.base import Header

FEED_METHOD = "options_getFeed"
"""The read that a feed is."""
FEED_METHODS = ("options_subscribe", "options_unsubscribe")
"""What a connection answers besides."""
MOST_FEEDS = 100
"""Of one connection."""
BACKLOG = 100
"""Waiting messages from which on feeds pass a connection over until they are sent."""

log = structlog.get_logger()

View: TypeAlias = Mapping[str, Any]
Messages: TypeAlias = Callable[[View | None, View], Sequence[View]]
"""What is sent of a view, given the one before (:func:`rollup_node.engines.options.reads.feeds.messages`)."""


class Subscriber(Protocol):
    """Who is told."""

    def tell(self, identity: str, message: View) -> None:
        """Take a message of a subscription; never waits."""

    def behind(self) -> bool:
        """Whether it would rather be told later, all at once; then it calls :meth:`FeedHub.wake`."""


@dataclass(slots=True)
class Subscription:
    """To one feed."""

    feed: str
    params: list[Any]
    view: View
    """That was looked at last."""
    since: int
    """Its block; smaller if the chain went back."""
    subscriber: Subscriber


class FeedHub:
    """Who has subscribed to what.

    Args:
        chain: of an engine that answers :data:`FEED_METHOD`.
        messages: the engine's.
    """

    def __init__(self, chain: Chain, messages: Messages) -> None:
        self._chain, self._messages = chain, messages
        self._subscriptions: dict[str, Subscription] = {}
        self._due = asyncio.Event()
        self._rewinds = 0
        self._passing = False
        chain.on_commit.append(lambda _: self._due.set())
        chain.on_rewind.append(self._rewound)

    async def open(self, params: Sequence[Any], subscriber: Subscriber) -> Subscription:
        """A subscription with its first view, not started.

        Raises:
            RpcError: no such feed, or not its parameters.
        """
        if not params:
            raise RpcError(INVALID_PARAMS, "missing value for required argument 0: feed")
        feed, arguments = params[0], list(params[1:])
        while True:
            rewinds, head = self._rewinds, self._chain.gate.number
            view = await self._chain.read(FEED_METHOD, [feed, arguments, head, hex(head)])
            if rewinds == self._rewinds:
                return Subscription(feed, arguments, view, head, subscriber)

    def start(self, identity: str, subscription: Subscription) -> None:
        """Tell the first view, and from now on what changes."""
        self._subscriptions[identity] = subscription
        self._send(identity, subscription, None, subscription.view)
        self._due.set()  # blocks may have been decided since it was opened

    def stop(self, identity: str) -> None:
        """Tell no more; whoever isn't subscribed is no error."""
        self._subscriptions.pop(identity, None)

    def wake(self) -> None:
        """Somebody who was behind has caught up."""
        self._due.set()

    async def run(self) -> None:
        """Tell of blocks until cancelled."""
        while True:
            await self._due.wait()
            self._due.clear()
            self._passing = True
            await self._pass()
            self._passing = False

    @property
    def busy(self) -> bool:
        """Whether there are blocks that not everybody has been told of who listens."""
        return self._passing or self._due.is_set()

    async def _pass(self) -> None:
        """Tell everybody of the gate's block who isn't behind."""
        head, rewinds = self._chain.gate, self._rewinds
        seen: dict[bytes, View] = {}
        for identity, one in list(self._subscriptions.items()):
            if one.since >= head.number or one.subscriber.behind():
                continue
            key = orjson.dumps([one.feed, one.params, one.since])
            if key not in seen:
                seen[key] = await self._look(one, head.number)
            if rewinds != self._rewinds:
                self._due.set()
                return
            if identity in self._subscriptions:
                before, one.view, one.since = one.view, seen[key], head.number
                self._send(identity, one, before, one.view)

    async def _look(self, one: Subscription, number: int) -> View:
        """A view of a block; what can't be told now is told in words, since a later block may have it."""
        said = {"feed": one.feed, "params": one.params, "block": number}
        try:
            view: View = await self._chain.read(FEED_METHOD, [one.feed, one.params, one.since, hex(number)])
        except RpcError as exc:
            return said | {"error": {"code": exc.code, "message": str(exc)}}
        except Exception:  # a mistake in one feed is no reason to leave the others without news
            log.error("feed.failed", feed=one.feed, exception=traceback.format_exc())
            return said | {"error": {"code": INTERNAL_ERROR, "message": "internal error"}}
        return view

    def _send(self, identity: str, one: Subscription, before: View | None, after: View) -> None:
        for message in self._messages(before, after):
            one.subscriber.tell(identity, message)

    def _rewound(self, head: Header) -> None:
        """Blocks after this one are gone: what takes their numbers is new."""
        self._rewinds += 1
        for one in self._subscriptions.values():
            one.since = min(one.since, head.number)


class ConnectionFeeds:
    """Feeds of one WebSocket connection.

    Args:
        hub: that tells of blocks.
        send: queues a message; never waits.
        waiting: how many messages are queued.
    """

    def __init__(self, hub: FeedHub, send: Callable[[bytes], None], waiting: Callable[[], int]) -> None:
        self._hub, self._put, self._waiting = hub, send, waiting
        self._held: dict[str, Subscription] = {}
        self._opened: list[str] = []
        """Those that start once the connection has been told of their identity."""
        self._behind = False

    async def handle(self, method: str, params: list[Any]) -> Any:
        """Answer one of :data:`FEED_METHODS`.

        Raises:
            RpcError: no such feed, not its parameters, or too many feeds.
        """
        if method == "options_unsubscribe":
            return self._end(str(params[0]) if params else "")
        opened = await self._hub.open(params, self)
        if len(self._held) >= MOST_FEEDS:
            raise RpcError(LIMIT_EXCEEDED, f"more than {MOST_FEEDS} feeds on one connection; open another")
        identity = hex(secrets.randbits(128))
        self._held[identity] = opened
        self._opened.append(identity)
        return identity

    def start(self) -> None:
        """Whoever opened feeds has been answered: let them begin."""
        for identity in self._opened:
            if identity in self._held:
                self._hub.start(identity, self._held[identity])
        self._opened.clear()

    def sent(self) -> None:
        """A message has left."""
        if self._behind and not self._waiting():
            self._behind = False
            self._hub.wake()

    def close(self) -> None:
        """End all."""
        for identity in list(self._held):
            self._end(identity)

    def tell(self, identity: str, message: View) -> None:
        """See :class:`Subscriber`."""
        self._put(notification(identity, message, "options_subscription"))

    def behind(self) -> bool:
        """See :class:`Subscriber`."""
        self._behind = self._waiting() >= BACKLOG
        return self._behind

    def _end(self, identity: str) -> bool:
        if self._held.pop(identity, None) is None:
            return False
        self._hub.stop(identity)
        return True


def notification(identity: str, result: Any, method: str = "eth_subscription") -> bytes:
    """A message of a subscription, as all of Ethereum's nodes write it."""
    params = {"subscription": identity, "result": result}
    return orjson.dumps({"jsonrpc": "2.0", "method": method, "params": params})
