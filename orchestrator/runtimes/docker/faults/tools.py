"""An image with ``iptables`` and ``tc``, for side-cars of nodes whose own image has neither.

A base made by ``image/make-base`` has both. The usual slim Python image has not, and the nodes' image is built without a network: so one
more layer is put on top of it when it is first needed, with the distribution's own packages, over the network of the engine's machine. It
is named after the nodes' image, carries its labels, and goes with ``rollnet image prune``.
"""

import io
import tarfile
from collections.abc import Callable

from orchestrator.runtimes.docker.engine import Engine
from orchestrator.runtimes.docker.errors import EngineError
from orchestrator.runtimes.errors import FaultFailedError

_RECIPE = """\
FROM {image}
LABEL rollnet.build=unfinished
USER 0:0
RUN apt-get update -qq \\
 && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends iptables iproute2 \\
 && rm -rf /var/lib/apt/lists/*
"""


def name_of(image: str) -> str:
    """The image with tools that stands on this one."""
    return f"{image}-tools"


async def ensure_tools(engine: Engine, image: str, tell: Callable[[str], None]) -> str:
    """Name of the image with tools, built if it is not there.

    Args:
        engine: where.
        image: the nodes'.
        tell: told what is done, line by line.

    Raises:
        FaultFailedError: it can't be built.
    """
    name = name_of(image)
    if await engine.inspect_image(name) is not None:
        return name
    tell(f"{image} has no iptables and tc: building {name} with them, over the network, once")
    try:
        await engine.build(_context(image), name, {}, {}, tell, networked=True)
    except EngineError as exc:
        raise FaultFailedError(
            f"network faults need iptables and tc; the nodes' image {image} has neither, and adding them failed: {exc.message}",
            "apt-get in a build on this engine needs a way to the distribution's mirror; or build the nodes' image on a base that has "
            "both, such as the one that orchestrator/runtimes/docker/image/make-base makes: ROLLNET_BASE_IMAGE=… rollnet image build",
        ) from exc
    return name


def _context(image: str) -> io.BytesIO:
    recipe = _RECIPE.format(image=image).encode()
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(recipe)
        tar.addfile(entry, io.BytesIO(recipe))
    file.seek(0)
    return file
