"""The second delivery of a duplicated request: on a connection of its own, and nobody hears its answer."""

import asyncio
import contextlib
from collections.abc import Sequence

from orchestrator.links import framing
from orchestrator.links.decisions import Working
from orchestrator.links.framing import Head
from orchestrator.links.link import Blackholes, Link

LONGEST_ANSWER_S = 60.0
"""How long the target may take to answer a copy until its connection is closed, seconds."""
_READ = 64 * 1024


async def send_copy(
    link: Link, request: bytes, head: Head, duplicated: Working, delays: Sequence[tuple[Working, float]]
) -> None:
    """Deliver a request once more; it counts as duplicated once it is sent.

    Args:
        link: over which it goes, a new connection with what that brings.
        request: its bytes.
        head: its head.
        duplicated: the fault.
        delays: what makes it late, each until it is healed, seconds.
    """
    if link.resets():
        return
    blackholes = Blackholes()
    for working in link.hangs():
        blackholes.enter(working)
    clock = asyncio.get_running_loop().time
    began = clock()
    while (
        left := began + sum(late for working, late in delays if not working.healed) - clock()
    ) > 0 or blackholes.hang():
        await link.pause(left if left > 0 else None)
    with contextlib.suppress(OSError, TimeoutError):
        reader, writer = await asyncio.open_connection(link.host, link.port)
        try:
            writer.write(request)
            await writer.drain()
            duplicated.touched += 1
            async with asyncio.timeout(LONGEST_ANSWER_S):
                await _answered(reader, head.method)
        finally:
            writer.close()


async def _answered(reader: asyncio.StreamReader, method: bytes) -> None:
    answers = framing.responses(lambda: method)
    while data := await reader.read(_READ):
        for piece in answers.feed(data):
            interim = piece.head is not None and piece.head.informational
            if piece.raw or (piece.ends and not interim):
                return
