"""What the Docker SDK does with images: built, fetched, asked, listed and removed. Blocks, as ``sdk`` does."""

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, BinaryIO

import docker

from orchestrator.runtimes.docker import labels
from orchestrator.runtimes.docker.answers import answers
from orchestrator.runtimes.docker.errors import EngineError, ImageError, from_answer

_NOT_FOUND, _CONFLICT = 404, 409
_SHOWN_LINES = 20
_TO_SECONDS = len("2026-11-21T10:00:00")
"""Engines tell nanoseconds, which `datetime` does not read."""
_AT_WORK = frozenset({"running", "restarting", "removing"})

Tell = Callable[[str], None]


class Images:
    """Calls about images to one engine, on the thread of the ``Client`` that has it. All methods raise :class:`EngineError`."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def inspect(self, name: str) -> Any:
        """All about an image; ``None`` if there is none of this name."""
        with answers(f"look at image {name}"), contextlib.suppress(docker.errors.ImageNotFound):
            return self._api.inspect_image(name)
        return None

    def ours(self) -> list[Any]:
        """All finished images of ours, as the engine lists them."""
        with answers("list images"):
            return list(self._api.images(filters={"label": labels.IMAGE}))

    def in_use(self) -> frozenset[str]:
        """Ids of the images that containers were made from, whoever made them."""
        with answers("list containers"):
            return frozenset(str(one["ImageID"]) for one in self._api.containers(all=True))

    def remove(self, name: str) -> bool:
        """Remove an image; ``False`` if something uses it."""
        with answers(f"remove image {name}"):
            try:
                self._api.remove_image(name)
            except docker.errors.APIError as exc:
                if exc.status_code not in {_CONFLICT, _NOT_FOUND}:
                    raise
                return bool(exc.status_code == _NOT_FOUND)
        return True

    def pull(self, name: str, tell: Tell, given_up: threading.Event, heard: Callable[[], None]) -> None:
        """Fetch an image from its registry; ``heard`` is called for whatever the engine says of it."""
        with answers(f"pull {name}"):
            _follow(f"pull {name}", self._api.pull(name, stream=True, decode=True), tell, given_up, heard)

    def build(
        self,
        context: BinaryIO,
        tag: str,
        marks: Mapping[str, str],
        arguments: Mapping[str, str],
        tell: Tell,
        given_up: threading.Event,
        networked: bool = False,
    ) -> None:
        """Build an image from a tar file that holds a ``Dockerfile``, without any network unless it is asked for."""
        with answers(f"build {tag}"):
            stream = self._api.build(
                fileobj=context,
                custom_context=True,
                tag=tag,
                labels={**marks, labels.BUILD: labels.BUILT},
                buildargs=dict(arguments),
                network_mode="host" if networked else "none",
                rm=True,
                forcerm=True,
                decode=True,
            )
            _follow(f"build {tag}", stream, tell, given_up)

    def output_of(self, image: str, command: Sequence[str], marks: Mapping[str, str]) -> bytes:
        """What a command prints in a container of an image, without a network; the engine removes the container."""
        with answers(f"run {command[0]} in {image}"):
            host = self._api.create_host_config(auto_remove=True, network_mode="none")
            made = self._api.create_container(
                image, list(command), host_config=host, entrypoint="", labels=dict(marks)
            )
            output = self._api.attach(made["Id"], stdout=True, stderr=True, stream=True)
            self._api.start(made["Id"])
            return b"".join(output)

    def remove_unfinished(self, older_than_s: float) -> list[str]:
        """Remove what builds of ours that were cut short have left, and nothing that somebody uses; one line each.

        Args:
            older_than_s: what is younger may belong to a build that goes on, seconds.
        """
        with answers("look for unfinished builds"):
            before = self._now() - older_than_s
            label = {"label": f"{labels.BUILD}={labels.BEING_BUILT}"}
            steps = self._api.containers(all=True, filters=label)
            found = self._api.images(filters={"dangling": True, "label": labels.BUILD})
        settled = [one for one in steps if one["State"] not in _AT_WORK and one["Created"] <= before]
        nameless = [one for one in found if one["Created"] <= before]
        return [
            *(
                f"container {step['Names'][0].lstrip('/')} of an unfinished build"
                for step in settled
                if self._removed_step(step["Id"])
            ),
            *(
                f"image {str(image['Id'])[7:19]} of a build, which has no name"
                for image in nameless
                if self.remove(image["Id"])
            ),
        ]

    def _removed_step(self, container: str) -> bool:
        with answers(f"remove container {container[:12]}"):
            try:
                self._api.remove_container(container, v=True)
            except docker.errors.APIError as exc:  # it has been started, or somebody else removes it
                if exc.status_code not in {_CONFLICT, _NOT_FOUND}:
                    raise
                return False
        return True

    def _now(self) -> float:
        """Unix time by the engine's clock, seconds."""
        told = str(self._api.info()["SystemTime"])
        offset = told[-6:] if told[-6] in "+-" else "+00:00"
        return datetime.fromisoformat(told[:_TO_SECONDS] + offset).timestamp()


def _follow(
    what: str,
    stream: Any,
    tell: Tell,
    given_up: threading.Event,
    heard: Callable[[], None] = lambda: None,
) -> None:
    """Read what the engine reports of a long work, and end it when it is given up."""
    said: deque[str] = deque(maxlen=_SHOWN_LINES)
    for item in stream:
        heard()
        if given_up.is_set():
            stream.close()
            return
        if "error" in item:
            error = from_answer(what, str(item["error"]).strip())
            if type(error) is not EngineError:
                raise error
            lines = "".join(f"\n  | {line}" for line in said)
            raise ImageError(f"{error.message}{lines}", "the last lines say more")
        for line in str(item.get("stream") or "").splitlines():
            if line.strip():
                said.append(line)
                if line.startswith("Step "):
                    tell(line)
