"""What every runtime's faults must do, told through the seam alone: each bites and heals, or is refused before anything happens."""

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from orchestrator.rundir import RunDirectory
from orchestrator.runtimes.base import Capability, NodeSpec, NodeState, NodeStatus, Runtime, require
from orchestrator.runtimes.errors import (
    FaultInForceError,
    NodeStateError,
    UnknownNodeError,
    UnsupportedError,
)
from orchestrator.runtimes.faults import (
    Blackhole,
    DiskFull,
    OutOfMemory,
    PacketLoss,
    Reset,
    Throttle,
    Unplug,
)
from orchestrator.runtimes.startup import bring_up

pytestmark = pytest.mark.process

Fake = Callable[..., NodeSpec]
Call = Callable[..., Awaitable[object]]


def status_of(runtime: Runtime, name: str) -> NodeStatus:
    """One node's status."""
    return next(status for status in runtime.status() if status.name == name)


async def up(runtime: Runtime, *specs: NodeSpec) -> None:
    """Prepare and bring up."""
    await runtime.prepare(specs)
    await bring_up(runtime, specs)


async def test_every_fault_bites_and_heals_or_is_refused(runtime: Runtime, fake: Fake, call: Call) -> None:
    """What a runtime can do takes effect, is in force until it is healed, and then is gone; what it can't do it does not begin."""
    await up(runtime, fake("alpha", env={"PEER": "${url:beta:http}"}), fake("beta"))

    async def reaches() -> bool:
        try:
            return await call(runtime.endpoint("alpha", "http"), 0.7, "peer") == "beta"
        except (aiohttp.ClientError, TimeoutError):
            return False

    for fault in (
        Unplug("alpha"),
        Blackhole("alpha", "beta"),
        Reset("alpha", "beta"),
        PacketLoss("alpha", 0.2),
        Throttle("alpha", 20_000),
        DiskFull("alpha"),
        OutOfMemory("alpha"),
    ):
        if fault.kind not in runtime.capabilities:
            for refused_call in (runtime.inject(fault), runtime.heal(fault)):
                with pytest.raises(UnsupportedError, match=fault.kind):
                    await refused_call
            assert ((), NodeState.READY) == (runtime.faults(), status_of(runtime, "alpha").state)
            continue
        bite = await runtime.inject(fault)
        assert (fault, True) == (fault, bite.bit), bite.evidence
        if isinstance(fault, OutOfMemory):
            assert ((), NodeState.KILLED) == (runtime.faults(), status_of(runtime, "alpha").state)
            await runtime.restart("alpha")
        else:
            assert (fault,) == runtime.faults()
            # This host reaches the node whatever is done to its links.
            assert "alpha" == await call(runtime.endpoint("alpha", "http"))
        if isinstance(fault, Unplug | Blackhole | Reset):
            assert not await reaches(), fault
        for _ in range(2):
            healing = await runtime.heal(fault)
            assert (fault, True) == (fault, healing.healed), healing.evidence
        assert () == runtime.faults()
        assert await reaches(), fault
    if runtime.capabilities >= {Capability.UNPLUG}:
        assert 2 == status_of(runtime, "alpha").boot


async def test_a_full_disk_fails_writes_over_restarts(
    runtime: Runtime, fake: Fake, run: RunDirectory, call: Call
) -> None:
    """Files grow by the spare bytes and no further, also after a restart, until it is healed; the failed write is evidence."""
    require(runtime, Capability.DISK_FULL)
    await up(runtime, fake("alpha"))
    ledger = run.journals / "alpha.ledger"

    async def write() -> object:
        return await call(runtime.endpoint("alpha", "http"), method="write")

    assert 100 == await write()
    fault = DiskFull("alpha", 250)
    assert (await runtime.inject(fault)).bit
    assert [100, 100, 50] == [await write() for _ in range(3)]
    assert "File too large" in str(await write())
    assert 350 == ledger.stat().st_size
    assert (await runtime.inject(fault)).bit
    await runtime.restart("alpha")
    assert "File too large" in str(await write())
    assert 350 == ledger.stat().st_size
    with pytest.raises(FaultInForceError, match="disk-full of alpha in 250 bytes is in force"):
        await runtime.inject(DiskFull("alpha", 5))
    await runtime.heal(fault)
    assert (await runtime.inject(DiskFull("alpha"))).bit
    await runtime.restart("alpha")
    assert "File too large" in str(await write())
    await runtime.stop("alpha")
    assert (await runtime.heal(DiskFull("alpha"))).healed
    await runtime.start("alpha")
    assert (100, ()) == (await write(), runtime.faults())


async def test_faults_are_finished_though_nobody_waits(runtime: Runtime, fake: Fake, call: Call) -> None:
    """Cancelled at once, an injection is applied and a healing heals; both say that they were cancelled."""
    require(runtime, Capability.DISK_FULL)
    await up(runtime, fake("alpha"))
    fault = DiskFull("alpha")
    for act, expected in ((runtime.inject, (fault,)), (runtime.heal, ())):
        task = asyncio.ensure_future(act(fault))
        await asyncio.sleep(0)  # it has begun, and can't have ended
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert expected == runtime.faults()
        written = await call(runtime.endpoint("alpha", "http"), method="write")
        assert (100 == written) == (not expected)


async def test_faults_of_nodes_that_are_down(runtime: Runtime, fake: Fake, call: Call) -> None:
    """A fault of a node that is down has not bitten, and bites when it comes back; names are checked; closing needs no healing."""
    require(runtime, Capability.DISK_FULL)
    await runtime.prepare([fake("alpha")])
    fault = DiskFull("alpha")
    bite = await runtime.inject(fault)
    assert (False, True) == (bite.bit, "alpha is down" in bite.evidence)
    await runtime.start("alpha")
    assert 100 != await call(runtime.endpoint("alpha", "http"), method="write")
    assert (fault,) == runtime.faults()
    with pytest.raises(UnknownNodeError, match="did you mean 'alpha'"):
        await runtime.inject(DiskFull("alhpa"))
    await runtime.close()
    with pytest.raises(NodeStateError, match="taken down"):
        await runtime.heal(fault)
