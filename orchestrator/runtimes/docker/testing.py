"""Support of tests that need a Docker engine: a visible skip without one, and what is on it, seen past the code under test."""

import asyncio
import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import docker
import pytest

from orchestrator.runtimes.docker import guard, labels
from orchestrator.runtimes.docker.engine import Engine
from orchestrator.runtimes.docker.errors import EngineError
from orchestrator.runtimes.docker.image.build import ensure_image

REQUIRE_VARIABLE = "ROLLNET_REQUIRE_DOCKER"
"""Set to 1, a missing engine is a failure, as it must be in CI."""


def image_or_skip() -> str:
    """Name of the image, built if need be; skips, or fails if an engine is required, with the command that would help."""

    async def ensure() -> str:
        engine = await Engine.connect()
        try:
            return (await ensure_image(engine, print)).name
        finally:
            engine.close()

    try:
        with ThreadPoolExecutor(1) as thread:  # whoever asks may run an event loop
            return thread.submit(asyncio.run, ensure()).result()
    except EngineError as exc:
        if os.environ.get(REQUIRE_VARIABLE) == "1":
            pytest.fail(f"{REQUIRE_VARIABLE} is set, and {exc}")
        pytest.skip(str(exc))


def footprint(home: Path | None = None) -> Mapping[str, frozenset[str]]:
    """Names of all containers, networks and volumes of an engine, or of those that belong to a state home."""
    client = docker.APIClient()
    try:
        return footprint_of(client, {"label": f"{labels.HOME}={home}"} if home is not None else {})
    finally:
        client.close()


def footprint_of(client: Any, filters: Mapping[str, str]) -> Mapping[str, frozenset[str]]:
    """Names of all that an engine has and that pass filters."""
    return {
        "containers": frozenset(one["Names"][0] for one in client.containers(all=True, filters=filters)),
        "networks": frozenset(one["Name"] for one in client.networks(filters=filters)),
        "volumes": frozenset(one["Name"] for one in client.volumes(filters=filters)["Volumes"] or []),
    }


def footprint_beside(home: Path) -> Mapping[str, frozenset[str]]:
    """Names of all that an engine has but what belongs to another state home: that may come and go while other tests run."""

    def others(one: Any) -> bool:
        return bool((one["Labels"] or {}).get(labels.HOME, str(home)) != str(home))

    client = docker.APIClient()
    try:
        return {
            "containers": frozenset(
                one["Names"][0] for one in client.containers(all=True) if not others(one)
            ),
            "networks": frozenset(one["Name"] for one in client.networks() if not others(one)),
            "volumes": frozenset(one["Name"] for one in client.volumes()["Volumes"] or [] if not others(one)),
        }
    finally:
        client.close()


def guards_of(run_ids: Collection[str]) -> list[int]:
    """Processes that watch over runs; what one that has lost its supervisor does is done when it is gone."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if guard.__name__.encode() in words and {run_id.encode() for run_id in run_ids}.intersection(words):
            found.append(int(path.parent.name))
    return found


NOTHING: Mapping[str, frozenset[str]] = {
    "containers": frozenset(),
    "networks": frozenset(),
    "volumes": frozenset(),
}
