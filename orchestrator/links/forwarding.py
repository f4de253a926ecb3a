"""One connection of a caller, passed on over one connection to the target, message by message.

::

    caller ── bytes ─► Framer ─► (a request, read as a whole if something is wrong with the link) ─► decide ─► Lane ─► target
    caller ◄─ Lane ◄─ decide ◄─ (the pieces of its answer, as they come) ◄─ Framer ◄────────────────────── bytes ── target

One to one, so that everything a connection tells stays true: a target that is down resets the caller, as the caller would be
refused; an end that goes away takes the other with it; one that only stops talking (half-closed) is only that; a caller that
keeps its connection alive has one that is kept alive all the way.

The answer to a dropped message never comes, so its connection is of no use any more: it breaks when the fault says so.
A connection that is made inside a blackhole is accepted and leads nowhere until that is healed; if its caller has gone by then,
nothing of it is delivered, as SYN packets that nobody answers deliver nothing.
"""

import asyncio
from collections import deque

from orchestrator.links import framing
from orchestrator.links.copies import send_copy
from orchestrator.links.decisions import NOTHING, Decision, Working, decide, methods_of
from orchestrator.links.faults import Direction
from orchestrator.links.framing import Head, Piece, body_of
from orchestrator.links.lane import Lane
from orchestrator.links.link import Blackholes, Exchange, Link
from orchestrator.links.side import Side

LARGEST_READ_AS_A_WHOLE = 64 * 1024 * 1024
"""Bytes of a request; a larger one has no method that could be matched, and is neither dropped, duplicated nor reordered."""


class Passage:
    """Fulfils ``Connection``.

    Args:
        link: that it passes over.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self.blackholes = Blackholes()
        self.caller = Side(self._asked, self._caller_ended, self._caller_lost, self._flow, self._begin)
        self._target = Side(self._answered, self._target_ended, self._target_lost, self._flow)
        self._there = Lane(link, Direction.REQUEST, self._target, self.blackholes, self._flow)
        self._back = Lane(link, Direction.RESPONSE, self.caller, self.blackholes, self._flow)
        self._pending: deque[Exchange] = deque()
        self._requests = framing.requests()
        self._responses = framing.responses(lambda: self._pending[0].method if self._pending else b"")
        self._whole: list[bytes] | None = None
        """Pieces of the request that is being read as a whole."""
        self._whole_head: Head | None = None
        self._size = 0
        self._request = self._answer = NOTHING
        """What happens to the request, and to the answer, whose bytes go on as they come."""
        self._deaf = self._mute = False
        """Nothing more goes there, or back: a message was dropped."""
        self._ended_sides = 0
        self._caller_gone = self._over = False
        self._opening: asyncio.Task[None] | None = None

    def _begin(self) -> None:
        resets = self._link.resets()
        if resets:
            for working in resets:
                working.touched += 1
            self.caller.reset()
            self._over = True
            return
        self._link.connections.add(self)
        for working in self._link.hangs():
            self.blackholes.enter(working)
        self._opening = self._link.spawn(self._open())

    def reset(self) -> None:
        """Tear it down at once, visibly for both ends."""
        self._finish()
        self.caller.reset()
        self._target.reset()

    async def _open(self) -> None:
        while self.blackholes.hang():
            if self._caller_gone:
                self.reset()
                return
            await self._link.pause()
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self._target, self._link.host, self._link.port
            )
        except OSError:
            self.reset()
        if self._over:
            self._target.reset()

    # from the caller to the target

    def _asked(self, data: bytes) -> None:
        for piece in self._requests.feed(data):
            if self._deaf:
                return
            self._pass_on(piece)
        if self._requests.raw and not self._responses.raw:
            self._back.put(self._responses.give_up())

    def _pass_on(self, piece: Piece) -> None:
        if piece.raw:
            self._there.put(piece.data, self._decide_raw(Direction.REQUEST))
            return
        if piece.head is not None:
            self._request = NOTHING
            if self._link.working and not piece.head.awaits_continue:
                self._whole, self._whole_head, self._size = [], piece.head, 0
            else:
                self._begin_request(piece.head)
        if self._whole is None:
            self._there.put(piece.data, self._request)
            return
        self._whole.append(piece.data)
        self._size += len(piece.data)
        if piece.ends:
            self._send_whole()
        elif self._size > LARGEST_READ_AS_A_WHOLE:
            self._give_up_whole()

    def _send_whole(self) -> None:
        """Decide on a request that is there as a whole."""
        assert self._whole is not None, "only called while one is read"
        assert self._whole_head is not None, "as above"
        request, head = b"".join(self._whole), self._whole_head
        self._whole = None
        faults = [working.fault for working in self._link.working]
        asked = any(fault.match != "*" for fault in faults)
        calls = methods_of(body_of(request, head)) if asked else ()
        decision = self._met(decide(self._link.working, Direction.REQUEST, calls))
        if decision.dropped is not None:
            self._deaf = True
            self._break_after(decision.dropped)
            return
        for working, late in decision.copies:
            self._link.spawn(
                send_copy(self._link, request, head, working, (*decision.delays, (working, late)))
            )
        hold = self._link.hold(decision.reordered, asyncio.get_running_loop().time())
        exchange = Exchange(head.method, calls)
        self._pending.append(exchange)
        if hold is None:
            self._there.put(request, decision, then=lambda: self._link.sent(exchange))
        else:
            self._there.put(request, decision, hold)

    def _give_up_whole(self) -> None:
        """A request that is too large, or breaks off: its bytes go on as they are."""
        if self._whole is None or self._whole_head is None:
            return
        self._begin_request(self._whole_head)
        self._there.put(b"".join(self._whole), self._request)
        self._whole = None

    def _begin_request(self, head: Head) -> None:
        """A request whose bytes go on as they come."""
        exchange = Exchange(head.method)
        self._pending.append(exchange)
        self._link.sent(exchange)
        self._request = self._decide_raw(Direction.REQUEST)

    # from the target to the caller

    def _answered(self, data: bytes) -> None:
        for piece in self._responses.feed(data):
            if piece.raw:
                self._back.put(piece.data, self._decide_raw(Direction.RESPONSE))
                continue
            if piece.head is not None:
                self._answer = NOTHING if piece.head.informational else self._begin_answer()
            if self._mute:
                return
            self._back.put(piece.data, self._answer)
            if piece.ends and not (piece.head is not None and piece.head.informational) and self._pending:
                self._pending.popleft()
        if self._responses.raw and not self._requests.raw:
            self._give_up_whole()
            self._there.put(self._requests.give_up())

    def _begin_answer(self) -> Decision:
        calls: tuple[str, ...] = ()
        if self._pending:
            calls = self._pending[0].calls
            self._link.answered(self._pending[0])
        if not self._link.working:
            return NOTHING
        decision = self._met(decide(self._link.working, Direction.RESPONSE, calls))
        if decision.dropped is not None:
            self._deaf = self._mute = True
            self._break_after(decision.dropped)
        return decision

    # both ways

    def _decide_raw(self, direction: Direction) -> Decision:
        if not self._link.working:
            return NOTHING
        return self._met(decide(self._link.working, direction, (), raw=True))

    @staticmethod
    def _met(decision: Decision) -> Decision:
        """Count what has met the message; copies and overtaking are counted when they happen."""
        delayed = (working for working, _ in decision.delays)
        for working in (*delayed, *decision.throttles, *filter(None, [decision.dropped])):
            working.touched += 1
        return decision

    def _break_after(self, dropped: Working) -> None:
        async def wait() -> None:
            loop = asyncio.get_running_loop()
            until = loop.time() + dropped.fault.hold_s
            while not (dropped.healed or self._over) and (left := until - loop.time()) > 0:
                await self._link.pause(left)
            self.reset()

        self._link.spawn(wait())

    def _flow(self) -> None:
        """Read only what can be passed on."""
        self.caller.read(
            wanted=self._there.room and (self._target.taking or not self._target.opened.is_set())
        )
        self._target.read(wanted=self._back.room and self.caller.taking)

    def _caller_ended(self) -> None:
        self._caller_gone = True
        self._link.changed()
        if not self._deaf:
            self._give_up_whole()
            self._there.put(self._requests.give_up())
        self._there.put(b"", then=lambda: self._end(self._target))

    def _target_ended(self) -> None:
        if not self._mute:
            self._back.put(self._responses.give_up())
            self._back.put(b"", then=lambda: self._end(self.caller))

    def _end(self, side: Side) -> None:
        side.end()
        self._ended_sides += 1
        if self._ended_sides == 2:
            self._finish()
            self.caller.close()
            self._target.close()

    def _caller_lost(self, exc: Exception | None) -> None:
        del exc
        if self._over:
            return
        self._caller_gone = True
        self._back.discard()
        self._link.changed()
        if self._target.opened.is_set() or not self.blackholes.none:
            self._there.put(b"", then=self.reset)  # what is on its way still arrives
        else:
            self.reset()

    def _target_lost(self, exc: Exception | None) -> None:
        del exc
        if self._over:
            return
        self._there.discard()
        if not self._mute:
            self._back.put(b"", then=self.reset)

    def _finish(self) -> None:
        """No event matters any more."""
        self._over = True
        self._link.connections.discard(self)
        self._there.discard()
        self._back.discard()
        for exchange in self._pending:
            self._link.answered(exchange)
        if self._opening is not None and self._opening is not asyncio.current_task():
            self._opening.cancel()
