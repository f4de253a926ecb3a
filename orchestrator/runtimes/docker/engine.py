"""A Docker engine for an event loop: each call of the blocking ``sdk`` on a thread.

Short calls share a pool in which each thread has a client; what lasts as long as a container's life (:meth:`Engine.live`) has a thread
and a client of its own.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, BinaryIO, Self, TypeVar

from orchestrator.runtimes.base import Limits
from orchestrator.runtimes.docker.address import Address
from orchestrator.runtimes.docker.aside import aside
from orchestrator.runtimes.docker.errors import EngineUnreachableError
from orchestrator.runtimes.docker.events import EventWatch
from orchestrator.runtimes.docker.labels import Labelled
from orchestrator.runtimes.docker.sdk import Client, ContainerPlan, LifeEvents
from orchestrator.runtimes.docker.sdk_faults import FaultCalls
from orchestrator.runtimes.docker.sweep import remove

SILENCE_S = 20.0
"""Longest time in which nothing is heard of an image that is fetched, seconds: engines try a registry that does not answer for minutes."""
_CALLS = 16
"""Short calls at once; an engine serialises most of them anyway."""

Answer = TypeVar("Answer")


class Engine:
    """One engine; made with :meth:`connect`, closed at the end. Its methods raise :class:`EngineError` where it refuses."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._threads = threading.local()
        self._pool = ThreadPoolExecutor(_CALLS, "docker")
        self._running: set[Future[Any]] = set()
        self.events: EventWatch | None = None
        """What it says of the run that is watched."""

    @classmethod
    async def connect(cls, variables: Mapping[str, str] | None = None) -> Self:
        """The engine that the ``docker`` command would use; argument and errors as :meth:`Address.find`."""
        return cls(await aside(lambda: Address.find(variables), "engine-find"))

    @property
    def described(self) -> str:
        """For people."""
        where = "" if self.host.startswith("unix:") else f" at {self.host}"
        return f"Docker {self._address.information.get('ServerVersion', '?')}{where}"

    @property
    def host(self) -> str:
        """Its URL."""
        return self._address.host

    @property
    def variables(self) -> Mapping[str, str]:
        """The environment that leads to it; see :class:`Address`."""
        return self._address.variables

    @property
    def memory(self) -> int:
        """Bytes that its machine has."""
        return int(self._address.information["MemTotal"])

    def within(self, limits: Limits) -> Limits:
        """Limits as the engine takes them: it refuses more processors than it has, which is no limit at all."""
        has = self._address.information.get("NCPU")
        return replace(limits, cpus=min(limits.cpus, has)) if has and limits.cpus else limits

    @property
    def remaps_users(self) -> str:
        """``rootless``: root inside is this user; ``userns``: users inside are others outside; else empty."""
        options = self._address.information.get("SecurityOptions") or []
        return next(
            (kind for kind in ("rootless", "userns") if any(f"name={kind}" in o for o in options)), ""
        )

    async def inspect_image(self, name: str) -> Any:
        """All about an image; ``None`` if there is none of this name."""
        return await self._call(lambda client: client.images.inspect(name))

    async def images(self) -> list[Any]:
        """All images of ours, as the engine lists them."""
        return await self._call(lambda client: client.images.ours())

    async def images_in_use(self) -> frozenset[str]:
        """Ids of the images that containers were made from, whoever made them and whether or not they run."""
        return await self._call(lambda client: client.images.in_use())

    async def remove_image(self, name: str) -> bool:
        """Remove an image; ``False`` if something uses it."""
        return await self._call(lambda client: client.images.remove(name))

    async def pull(self, name: str, progress: Callable[[str], None]) -> None:
        """Fetch an image from its registry.

        Raises:
            EngineError: the registry, or the way to it, says no, or nothing for long.
        """
        spoken = time.monotonic()

        def heard() -> None:
            nonlocal spoken
            spoken = time.monotonic()

        work = asyncio.create_task(
            self._long(progress, lambda client, tell, up: client.images.pull(name, tell, up, heard))
        )
        try:
            while not (await asyncio.wait({work}, timeout=1.0))[0]:
                if time.monotonic() - spoken > SILENCE_S:
                    raise EngineUnreachableError(
                        f"can't pull {name}: nothing was heard of its registry for {SILENCE_S:g} s",
                        "is there a way to it from the engine's machine?",
                    )
            work.result()
        finally:
            work.cancel()

    async def build(
        self,
        context: BinaryIO,
        tag: str,
        marks: Mapping[str, str],
        arguments: Mapping[str, str],
        progress: Callable[[str], None],
        *,
        networked: bool = False,
    ) -> None:
        """Build an image from a tar file that holds a ``Dockerfile``, without any network unless it is asked for.

        Raises:
            ImageError: a step failed.
        """
        await self._long(
            progress,
            lambda client, tell, given_up: client.images.build(
                context, tag, marks, arguments, tell, given_up, networked
            ),
        )

    async def output_of(self, image: str, command: Sequence[str], marks: Mapping[str, str]) -> bytes:
        """What a command prints in a container of an image, without a network; the container has these labels."""
        return await self._call(lambda client: client.images.output_of(image, command, marks))

    async def create_network(self, name: str, marks: Mapping[str, str], *, internal: bool) -> str:
        """Make a bridge network.

        Args:
            name: unique, or it is refused.
            marks: its labels.
            internal: nodes reach one another and nothing else; otherwise this host reaches them, and they reach nobody.

        Returns:
            Its id.
        """
        return await self._call(lambda client: client.networks.create(name, marks, internal))

    async def create_container(self, plan: ContainerPlan) -> str:
        """Make a container, without starting it; returns its id."""
        return await self._call(lambda client: client.create_container(plan))

    async def connect_network(self, network: str, container: str, aliases: Sequence[str]) -> None:
        """Attach a container to a network, under these names."""
        await self._call(lambda client: client.networks.connect(network, container, aliases))

    async def run(self, plan: ContainerPlan) -> str:
        """Make a container that nobody attends, and start it; returns its id."""
        container = await self._call(lambda client: client.create_container(plan))
        await self._call(lambda client: client.start(container))
        return container

    async def sees(self, path: Path, image: str, name: str, marks: Mapping[str, str]) -> bool:
        """Whether a path of this host is one of the engine's; see ``sdk_files``, as for those below."""
        return await self._call(lambda client: client.files.sees(path, image, name, marks))

    async def create_volume(self, name: str, marks: Mapping[str, str]) -> None:
        """Make a volume."""
        await self._call(lambda client: client.files.create_volume(name, marks))

    async def create_shelf(
        self, name: str, image: str, marks: Mapping[str, str], folders: Mapping[str, str]
    ) -> str:
        """Make a container that is never started, for archives to go in and out; returns its id."""
        return await self._call(lambda client: client.files.create_shelf(name, image, marks, folders))

    async def put(self, container: str, folder: str, archive: IO[bytes]) -> None:
        """Unpack a tar file in a folder of a container."""
        await self._call(lambda client: client.files.put(container, folder, archive))

    async def fetch(self, container: str, folder: str, into: Path) -> None:
        """Copy the regular files in a folder of a container into one here."""
        await self._call(lambda client: client.files.fetch(container, folder, into))

    async def sweep_builds(self, older_than_s: float) -> list[str]:
        """Remove what builds of ours that were cut short have left, older than so many seconds; one line each."""
        return await self._call(lambda client: client.images.remove_unfinished(older_than_s))

    async def published_ports(self) -> set[int]:
        """Ports that containers of this engine publish, or will once they are started."""
        return await self._call(lambda client: client.files.published())

    async def signal(self, container: str, name: str) -> bool:
        """Send a signal to a container's first process; ``False`` if it does not run."""
        return await self._call(lambda client: client.signal(container, name))

    async def pause(self, container: str) -> bool:
        """Freeze all processes of a container; ``False`` if it does not run, or is frozen."""
        return await self._call(lambda client: client.pause(container))

    async def unpause(self, container: str) -> bool:
        """Thaw them; ``False`` if they are not frozen."""
        return await self._call(lambda client: client.unpause(container))

    async def inspect_container(self, container: str) -> Any:
        """All about a container."""
        return await self._call(lambda client: client.inspect_container(container))

    def watch(self, run: str) -> None:
        """Follow the events of a run's containers, for those who confirm."""
        self.events = EventWatch(run, self._fault_calls)

    async def faults(self, act: Callable[[FaultCalls], Answer]) -> Answer:
        """A call that only faults need, see ``sdk_faults``."""
        return await self._call(lambda client: act(client.faults))

    def live(self, container: str, events: LifeEvents, *, found: bool = False) -> None:
        """Start a container, or find it running, and tell of its life, on a thread that ends with it."""

        def life() -> None:
            client = Client(self._address)
            try:
                client.live(container, events, found=found)
            finally:
                client.close()

        threading.Thread(target=life, name=f"life-{container[:12]}", daemon=True).start()

    async def remove_run(self, run: str) -> list[Labelled]:
        """Remove what a run has, see ``sweep.remove``, after the end of calls whose callers were cancelled: they may make more."""
        while running := [future for future in self._running if not future.done()]:
            await asyncio.wait([asyncio.wrap_future(future) for future in running])
        return await asyncio.to_thread(remove, self._address, lambda found: found.run_id == run, run)

    def close(self) -> None:
        """Use it no more."""
        if self.events is not None:
            self.events.close()
        self._pool.shutdown(wait=False)

    @contextlib.contextmanager
    def _fault_calls(self) -> Iterator[FaultCalls]:
        """For a thread of its own."""
        client = Client(self._address)
        try:
            yield client.faults
        finally:
            client.close()

    async def _call(self, act: Callable[[Client], Answer]) -> Answer:
        future = self._pool.submit(lambda: act(self._client()))
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return await asyncio.wrap_future(future)

    async def _long(
        self,
        progress: Callable[[str], None],
        act: Callable[[Client, Callable[[str], None], threading.Event], None],
    ) -> None:
        """A call that reports what it does; when the caller is cancelled, it is left to itself, and ends with the next report or this process."""
        given_up = threading.Event()
        loop = asyncio.get_running_loop()

        def tell(line: str) -> None:
            loop.call_soon_threadsafe(progress, line)

        def work() -> None:
            client = Client(self._address)
            try:
                act(client, tell, given_up)
            finally:
                client.close()

        try:
            await aside(work, "engine-long")
        except asyncio.CancelledError:
            given_up.set()
            raise

    def _client(self) -> Client:
        if not hasattr(self._threads, "client"):
            self._threads.client = Client(self._address)
        client: Client = self._threads.client
        return client
