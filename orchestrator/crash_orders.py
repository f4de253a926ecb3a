"""Ordering a running node to crash at a point of its code (``bridge.wire.crash_points``), and telling whether it did.

The order goes straight to the node: to its public listener, and at a rollup, whose public listener is for users, to the one that its
sequencer uses, with the same token. Both are found from the plan and from the node's status, so it is the same for a devnet of this
process and for one that is attached to.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from bridge.wire.crash_points import CRASH_EVENT, EXIT_CRASHED
from bridge.wire.jsonrpc import Client
from orchestrator.chains import translated
from orchestrator.errors import RollnetError
from orchestrator.nodes import control_token
from orchestrator.runtimes.base import ALIVE, NodeStatus
from orchestrator.runtimes.faults import Bite
from orchestrator.topology.plan import Plan

ANSWER_S = 5.0
"""Longest wait for a node to take an order, seconds."""
LOOK_S = 0.005
"""Between two looks at a node that is to crash, seconds."""
LIFE_BEGINS = "--- rollnet: "
"""How the log of a node's life begins."""
LAST_LINES = 10
"""Lines of the log among which the crash's own must be: what else the process group writes may come after it."""


class CrashRefused(RollnetError):  # noqa: N818 - states what happened
    """A node that can't be ordered to crash."""


async def order_crash(status: NodeStatus, plan: Plan, point: str, count: int) -> None:
    """Order a node to crash at the ``count``-th passage of a point from now on.

    Args:
        status: of the node, as of now.
        plan: of its devnet.
        point: a key of ``CRASH_POINTS``.
        count: from 1 on.

    Raises:
        CrashRefused: it does not run, or is of a role that has no points.
        Refused: there is no such point, its nodes are others, or the devnet was launched without ``chaos``.
        ChainUnreachable: no answer.
    """
    if status.state not in ALIVE:
        raise CrashRefused(
            f"{status.name} is {status.state.value}: it can't be ordered to crash", "restart it first"
        )
    listener = "control" if status.role == "rollup" else "http"
    if status.role not in ("sequencer", "rollup", "relayer"):
        raise CrashRefused(
            f"{status.name} is of role {status.role}, which has no crash points",
            "`rollnet chaos points` lists what has some; kill it instead",
        )
    tokens = {rollup.name: control_token(plan, rollup) for rollup in plan.rollups}
    with translated(status.name):
        async with Client(
            status.endpoints[listener], token=tokens.get(status.name), timeout=ANSWER_S
        ) as client:
            await client.call("rollnet_crashAt", point, count)


async def crash_bite(
    point: str,
    boot: int,
    status: Callable[[], Awaitable[NodeStatus]],
    logs: Callable[[int], Awaitable[tuple[str, ...]]],
    within_s: float,
) -> Bite:
    """Wait for a node's end, and tell a crash at the point from any other.

    Args:
        point: where it was ordered to crash.
        boot: which life of the node was.
        status: of the node, asked again and again.
        logs: the last lines of its log.
        within_s: longest wait, seconds.
    """
    found = await status()
    try:
        async with asyncio.timeout(within_s):
            while True:
                if found.boot != boot or found.state not in ALIVE:
                    break
                await asyncio.sleep(LOOK_S)
                found = await status()
    except TimeoutError:
        return Bite(False, f"did not bite: {found.name} has not come to {point} in {within_s:g} s")
    if found.boot != boot:
        return Bite(False, f"did not bite: {found.name} is in life {found.boot} already, not in {boot}")
    if (
        found.exit_code != EXIT_CRASHED and found.signal != "SIGKILL"
    ):  # in a container the two can't be told apart
        how = found.signal or f"exit code {found.exit_code}"
        return Bite(False, f"did not bite: {found.name} ended by {how}, not at {point}")
    lines = await logs(LAST_LINES)
    life = itertools.takewhile(lambda line: not line.startswith(LIFE_BEGINS), reversed(lines))
    said = [line for line in life if f'"{CRASH_EVENT}"' in line]
    if not said or f'"point":"{point}"' not in said[0]:
        last = said[0] if said else "nothing of a crash"
        return Bite(False, f"did not bite: {found.name} ended by force, and its log says {last}")
    return Bite(True, f"{found.name} ended itself at {point}: {said[0]}")
