"""Removing what carries our labels: containers first, then the networks that they were on and the volumes that they had. Blocks.

Looks again until nothing is found, because an engine may still be making what was asked of it when its asker died, and because
networks go only after their last container has.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orchestrator.runtimes.docker.address import Address
from orchestrator.runtimes.docker.errors import EngineError, EngineUnreachableError, HeldByStrangersError
from orchestrator.runtimes.docker.labels import Labelled
from orchestrator.runtimes.docker.sdk import Client

_PATIENCE_S = 60.0
_GLANCE_S = 0.05
_AT_ONCE = 8


def remove(address: Address, ours: Callable[[Labelled], bool], run: str | None = None) -> list[Labelled]:
    """Remove everything of ours that is accepted.

    Args:
        address: where to look.
        ours: which of it.
        run: look at this run alone.

    Returns:
        What was removed.

    Raises:
        HeldByStrangersError: nothing is left but what containers of others hold.
        EngineError: the engine refuses, or does not answer.
    """
    refused: dict[str, EngineError] = {}

    def one(found: Labelled) -> bool:
        client = Client(address)
        try:
            return client.remove(found)
        except EngineUnreachableError:
            raise
        except EngineError as exc:  # one that is stuck is no reason to leave the others
            refused[found.identity] = exc
            return False
        finally:
            client.close()

    removed: dict[str, Labelled] = {}
    client = Client(address)
    deadline = time.monotonic() + _PATIENCE_S
    try:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while found := [labelled for labelled in client.labelled(run) if ours(labelled)]:
                before = set(removed)
                for kind in ("container", "network", "volume"):
                    batch = [labelled for labelled in found if labelled.kind == kind]
                    gone = zip(batch, pool.map(one, batch), strict=True)
                    removed |= {labelled.identity: labelled for labelled, done in gone if done}
                if removed.keys() - before >= {labelled.identity for labelled in found}:
                    continue
                _require_nobody_else(
                    client, [labelled for labelled in found if labelled.identity not in removed]
                )
                if time.monotonic() > deadline:
                    left = ", ".join(map(str, found))
                    said = "".join(f"; {exc.message}" for exc in refused.values())
                    raise EngineError(
                        f"the Docker engine does not remove {left}{said}", "see the engine's log"
                    )
                time.sleep(_GLANCE_S)  # nothing announces the last endpoint's end
    finally:
        client.close()
    return list(removed.values())


def _require_nobody_else(client: Client, left: list[Labelled]) -> None:
    """Waiting is in vain for what somebody else holds."""
    holders = [
        (labelled, [] if labelled.kind == "container" else client.networks.strangers_on(labelled))
        for labelled in left
    ]
    if not holders or not all(strangers for _, strangers in holders):
        return
    told = "; ".join(f"{', '.join(strangers)} on {labelled}" for labelled, strangers in holders)
    commands = [
        f"docker network disconnect --force {labelled.name} {stranger}"
        if labelled.kind == "network"
        else f"docker rm --force {stranger}"
        for labelled, strangers in holders
        for stranger in strangers
    ]
    raise HeldByStrangersError(
        f"all is removed but what containers of somebody else hold, which are left alone: {told}",
        f"let go of it, then sweep: {'; '.join(commands)}; rollnet gc",
    )


def sweep_run(run: str, engine: Mapping[str, str] | None = None) -> list[str]:
    """Remove what is left of one run; one line each.

    Args:
        run: its id.
        engine: environment that leads to its engine, see ``Address.find``.

    Raises:
        EngineError: the engine refuses, or does not answer.
    """
    return [str(found) for found in remove(Address.find(engine), lambda found: found.run_id == run, run)]


def sweep_orphans(home: Path) -> list[str]:
    """Remove what is left of every run of a state home whose supervisor is gone; errors as :func:`sweep_run`."""
    return [str(found) for found in remove(Address.find(), lambda found: found.orphaned(home))]


def left_of(run: str, engine: Mapping[str, str] | None = None) -> list[str]:
    """What is there of a run; arguments and errors as :func:`sweep_run`."""
    client = Client(Address.find(engine))
    try:
        return [str(found) for found in client.labelled(run)]
    finally:
        client.close()
