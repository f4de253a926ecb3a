"""Building the image, once for all devnets of a checkout: found by its digest, made when it is not there."""

import asyncio
import contextlib
import errno
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from orchestrator.rundir import cache, home
from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.docker.engine import Engine
from orchestrator.runtimes.docker.errors import DiskFullError, EngineError, ImageError
from orchestrator.runtimes.docker.image.contents import FOLDER, Contents, gather, write_context
from orchestrator.runtimes.docker.image.dependencies import PROBE, Interpreter, unpacked
from orchestrator.runtimes.docker.image.lock import alone

BASE_VARIABLE = "ROLLNET_BASE_IMAGE"
DEFAULT_BASE = "python:3.11-slim"
MAKE_BASE = FOLDER / "make-base"
"""Makes a base image from Debian packages."""

TOOLS_SUFFIX = "-tools"
"""How the name of an image ends that stands on one of these, see ``faults.tools``."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Image:
    """An image on an engine."""

    name: str
    base: str
    size: int
    """Bytes, with its base."""
    seconds: float
    """What it took to build; 0 if it was there."""


async def ensure_image(engine: Engine, progress: Progress, *, again: bool = False) -> Image:
    """The image of this checkout, built if it is not there, or if it is on another base than ``$ROLLNET_BASE_IMAGE`` now asks for.

    Args:
        engine: where.
        progress: told what is done, line by line.
        again: build it even if it is there.

    Raises:
        ImageError: there is no base, or a step failed.
        EngineError: the engine refuses.
    """
    contents = await asyncio.to_thread(gather)
    if not again and (found := await find_image(engine, contents)) is not None:
        return found
    async with (
        _disk_of_ours(),
        alone(cache(), lambda: progress("waiting for another process that builds it")),
    ):
        if not again and (found := await find_image(engine, contents)) is not None:
            return found  # another process has built it while we waited
        return await _build(engine, contents, progress)


async def find_image(engine: Engine, contents: Contents) -> Image | None:
    """The image of these contents, if it is there and on the base that is asked for."""
    found = await engine.inspect_image(contents.name)
    if found is None:
        return None
    base = (found["Config"].get("Labels") or {}).get(labels.BASE, "")
    if os.environ.get(BASE_VARIABLE, base) != base:
        return None
    return Image(contents.name, base, int(found["Size"]), 0.0)


async def prune_images(engine: Engine, *, dry_run: bool = False) -> list[str]:
    """Remove images of ours that neither this checkout nor any container uses; returns their names.

    An image with tools has no container of its own between two faults: it stays as long as the image that it stands on.

    Args:
        engine: where.
        dry_run: remove nothing, and say what would go.
    """
    current = (await asyncio.to_thread(gather)).name
    used = await engine.images_in_use()
    removed: list[str] = []
    with_tools: list[str] = []

    async def gone(name: str, image: str) -> bool:
        return image not in used if dry_run else await engine.remove_image(name)

    images = {name: str(image["Id"]) for image in await engine.images() for name in _names(image)}
    for name, image in images.items():
        if name.endswith(TOOLS_SUFFIX):
            with_tools.append(name)
        elif name != current and await gone(name, image):
            removed.append(name)
    for name in with_tools:
        under = name.removesuffix(TOOLS_SUFFIX)
        stands = under not in removed and await engine.inspect_image(under) is not None
        if not stands and await gone(name, images[name]):
            removed.append(name)
    return removed


def _names(image: Mapping[str, Any]) -> list[str]:
    """What an image is called; one without a name by its id."""
    names = [name for name in image.get("RepoTags") or [] if not name.startswith("<none>")]
    return names or [str(image["Id"])[7:19]]


async def _build(engine: Engine, contents: Contents, progress: Progress) -> Image:
    began = time.monotonic()
    base = await _base(engine)
    await _have_base(engine, base, progress)
    interpreter = Interpreter.parse(base, await _probe(engine, base))
    dependencies = await unpacked(interpreter, cache(), progress)
    marks = {labels.IMAGE: contents.digest, labels.BASE: base}
    with tempfile.TemporaryFile(dir=cache()) as file:
        await asyncio.to_thread(write_context, contents, dependencies, file)
        progress(f"building {contents.name} on {base} from {file.tell() / 1e6:.0f} MB")
        file.seek(0)
        await engine.build(file, contents.name, marks, {"BASE": base}, progress)
    found = await engine.inspect_image(contents.name)
    if found is None:
        raise ImageError(f"{contents.name} was built, and is not there", "somebody else may prune images")
    return Image(contents.name, base, int(found["Size"]), time.monotonic() - began)


async def _base(engine: Engine) -> str:
    """What is asked for; else the usual one; but where that is not here, the one that our last image stands on."""
    if asked := os.environ.get(BASE_VARIABLE):
        return asked
    if await engine.inspect_image(DEFAULT_BASE) is None:
        earlier = sorted(await engine.images(), key=lambda image: -int(image["Created"]))
        for image in earlier:
            base = (image["Labels"] or {}).get(labels.BASE)
            if base is not None and await engine.inspect_image(base) is not None:
                return str(base)
    return DEFAULT_BASE


async def _have_base(engine: Engine, base: str, progress: Progress) -> None:
    if await engine.inspect_image(base) is not None:
        return
    progress(f"pulling the base image {base}")
    try:
        await engine.pull(base, progress)
    except EngineError as exc:
        raise ImageError(
            f"the base image {base} is neither here nor to be had: {exc.message}",
            f"where no registry is reachable, make one from Debian packages: sudo {_shown(MAKE_BASE)}, "
            f"then {BASE_VARIABLE}=rollnet-base:bookworm rollnet image build",
        ) from exc


async def _probe(engine: Engine, base: str) -> object:
    said = await engine.output_of(base, PROBE, labels.of_work(home(), "probe"))
    try:
        return orjson.loads(said)
    except orjson.JSONDecodeError as exc:
        raise ImageError(
            f"the base image {base} can't run python3: {said.decode(errors='replace').strip()[:300]!r}",
            f"choose one with Python 3.11 or newer: {BASE_VARIABLE}=… rollnet image build",
        ) from exc


@contextlib.asynccontextmanager
async def _disk_of_ours() -> AsyncIterator[None]:
    """What this host's own disk refuses; the engine's is its own."""
    try:
        yield
    except OSError as exc:
        what = f"can't gather the image in {cache()}: {exc.strerror or exc}"
        if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(what, "make room there, or choose another place: XDG_CACHE_HOME=…") from exc
        raise ImageError(what, "choose another place: XDG_CACHE_HOME=…") from exc


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
