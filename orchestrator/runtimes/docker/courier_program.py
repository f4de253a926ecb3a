"""Hands out a run's journals, and the time, from a container beside the nodes: ``courier_program.py FOLDER PORT``. Standard library alone.

::

    GET  /time      {"mono_ns": …}
    POST /news      body {"known": {"alpha.jsonl": 1200, …}, "wait_s": 5, "torn": false}
                    answered when a file is longer than is known of it, or when the wait is over: one line of JSON,
                    {"parts": [["alpha.jsonl", 1200, 350], …]} (file, offset, size), then the bytes of the parts

Only whole lines are handed out unless ``torn`` is set, which asks for the end of a line whose writer was killed. A caller that comes back
names what it has, so nothing is lost when a connection breaks. The bearer token is in ``$ROLLNET_COURIER_TOKEN``.
"""

import hmac
import json
import os
import sys
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN_VARIABLE = "ROLLNET_COURIER_TOKEN"  # noqa: S105 - the variable's name
GLANCE_S = 0.01
"""Between two looks at the files: nothing tells of a file's growth without more than the standard library."""
LONGEST_WAIT_S = 30.0
MOST_BYTES = 4 * 1024 * 1024
"""Of one answer; the rest comes with the next."""
MOST_ASKED = 256 * 1024
"""Bytes of a question: a line for each of some thousand journals."""
SILENCE_S = 60.0
"""After which a connection that says nothing is closed, seconds."""
SUFFIX = ".jsonl"


def news(folder: str, known: dict[str, int], torn: bool) -> list[tuple[str, int, bytes]]:
    """What is in the files beyond what is known of them: file, offset, bytes."""
    found, room = [], MOST_BYTES
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        offset = known.get(entry.name, 0)
        if not entry.name.endswith(SUFFIX) or entry.stat().st_size <= offset or room <= 0:
            continue
        with open(entry.path, "rb") as file:  # noqa: PTH123 - every 10 ms
            file.seek(offset)
            data = file.read(room)
        whole = data if torn else data[: data.rfind(b"\n") + 1]
        if whole:
            found.append((entry.name, offset, whole))
            room -= len(whole)
    return found


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = 64 * 1024
    """Head and body of an answer in one packet: two would wait for each other's acknowledgement."""
    timeout = SILENCE_S
    folder = ""
    token = ""

    def do_GET(self) -> None:
        """``/time``."""
        now = time.monotonic_ns()
        if self.allowed("/time"):
            self.answer(json.dumps({"mono_ns": now}).encode())

    def do_POST(self) -> None:
        """``/news``."""
        if not self.allowed("/news") or (asked := self.asked()) is None:
            return
        known, torn = asked["known"], asked["torn"]
        until = time.monotonic() + min(asked["wait_s"], LONGEST_WAIT_S)
        while not (found := news(self.folder, known, torn)) and time.monotonic() < until:
            time.sleep(GLANCE_S)
        head = {"parts": [[name, offset, len(data)] for name, offset, data in found]}
        self.answer(json.dumps(head).encode() + b"\n" + b"".join(data for _, _, data in found))

    def asked(self) -> dict[str, Any] | None:
        """What the body asks for; ``None``, and says why, if it is too long or asks for nothing."""
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > MOST_ASKED:
            self.send_error(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE if length.isdecimal() else HTTPStatus.LENGTH_REQUIRED
            )
            return None
        try:
            asked = json.loads(self.rfile.read(int(length)))
            known = {str(name): int(size) for name, size in asked["known"].items()}
            return {"known": known, "wait_s": float(asked["wait_s"]), "torn": bool(asked["torn"])}
        except (ValueError, KeyError, TypeError, AttributeError):
            self.send_error(HTTPStatus.BAD_REQUEST)
            return None

    def allowed(self, path: str) -> bool:
        """Whether to answer; says why not."""
        given = self.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.token}".encode()):
            self.send_error(HTTPStatus.UNAUTHORIZED)
        elif self.path != path:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            return True
        return False

    def answer(self, body: bytes) -> None:
        """Send an answer."""
        self.send_response(HTTPStatus.OK)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


def main(folder: str, port: str) -> None:
    """Serve until killed."""
    Handler.folder, Handler.token = folder, os.environ[TOKEN_VARIABLE]
    ThreadingHTTPServer(("0.0.0.0", int(port)), Handler).serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
