"""Faults of several machines at once: each is told for itself, and none keeps the others from being struck or healed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.chaos.machine import MachineInjection
from orchestrator.runtimes.base import NodeState
from orchestrator.runtimes.errors import NodeStateError
from orchestrator.runtimes.faults import Bite, DiskFull, Fault, Healing, OutOfMemory, PacketLoss, Unplug

READY = SimpleNamespace(state=NodeState.READY, boot=1)


@dataclass
class Node:
    """Answers as a node's handle does; what was done to it is in ``done``."""

    name: str
    bites: list[bool] = field(default_factory=lambda: [True])
    """What injecting comes to, one time after the other; the last one stays."""
    refuses: bool = False
    log: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    async def inject(self, fault: Fault) -> Bite:
        """Strike."""
        self.done.append("inject")
        self._refuse()
        return Bite(self.bites.pop(0) if len(self.bites) > 1 else self.bites[0], f"{fault.kind} seen")

    async def heal(self, fault: Fault) -> Healing:
        """Undo."""
        self.done.append("heal")
        self._refuse()
        return Healing(True, f"{fault.kind} gone")

    async def status(self) -> Any:
        """It runs."""
        return READY

    async def restart(self) -> Any:
        """It comes back."""
        self.done.append("restart")
        return READY

    async def logs(self, lines: int) -> Sequence[str]:
        """Its last lines."""
        return tuple(self.log[-lines:])

    def _refuse(self) -> None:
        if self.refuses:
            raise NodeStateError(f"{self.name} is frozen", "resume it first")


def injected(nodes: Sequence[Node], *faults: Fault) -> MachineInjection:
    """Faults of some nodes."""
    net: Any = SimpleNamespace(node={node.name: node for node in nodes}.__getitem__)
    return MachineInjection(net, faults)


async def test_one_that_refuses_spares_no_other() -> None:
    """The fault strikes everybody else and is healed there; it did not bite and is not healed, and the words say whom and why."""
    alpha, beta, gamma = nodes = [Node("alpha"), Node("beta", refuses=True), Node("gamma")]
    begun: list[bool] = []
    injection = injected(nodes, *(PacketLoss(node.name, 0.5) for node in nodes))
    await injection.inject(lambda: begun.append(True))
    bite = await injection.bite()
    assert ([True], False) == (begun, bite.bit)
    assert "alpha: packet-loss seen; beta: beta is frozen; gamma: packet-loss seen" == bite.evidence
    healing = await injection.heal()
    assert (False, True) == (healing.healed, "beta: beta is frozen" in healing.evidence)
    assert [["inject", "heal"]] * 2 == [alpha.done, gamma.done]
    assert beta.done[-1] == "heal"


@pytest.mark.parametrize(
    ("fault", "looks", "bit"), [(Unplug("alpha"), 2, True), (OutOfMemory("alpha"), 1, False)]
)
async def test_what_lasts_is_looked_at_once_more(fault: Fault, looks: int, bit: bool) -> None:
    """What had not bitten when it began may have since; nobody is ended twice because the first time was not seen."""
    alpha = Node("alpha", bites=[False, True])
    injection = injected([alpha], fault)
    await injection.inject(lambda: None)
    assert (bit, looks) == ((await injection.bite()).bit, len(alpha.done))


async def test_what_never_began() -> None:
    """No fault has bitten, and healing is safe."""
    alpha = Node("alpha")
    injection = injected([alpha], Unplug("alpha"))
    assert Bite(False, "alpha: not done") == await injection.bite()
    assert [True, True] == [(await injection.heal()).healed for _ in range(2)]


@pytest.mark.parametrize(
    ("spare", "said", "bit"),
    [
        (0, [], True),
        (4096, [], False),
        (4096, ["an old line", "OSError: [Errno 27] File too large"], True),
    ],
)
async def test_a_disk_with_room_to_spare_is_full_once_a_write_has_failed(
    spare: int, said: list[str], bit: bool
) -> None:
    """What the kernel promises for later is no bite; complaints from before the fault are not counted. Then the node is restarted."""
    alpha = Node("alpha", log=["OSError: [Errno 27] File too large"])
    injection = injected([alpha], DiskFull("alpha", spare))
    await injection.inject(lambda: None)
    alpha.log += said
    assert bit == (await injection.bite()).bit
    assert (await injection.heal()).healed
    assert ["inject", "heal", "restart"] == alpha.done
