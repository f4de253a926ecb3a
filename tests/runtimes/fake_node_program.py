"""A node of the standard library alone, so that it starts in a few milliseconds; not a test, run as a program.

Usage: fake_node_program.py NAME FOLDER HOST:PORT BEHAVIOUR...

It answers JSON-RPC by POST with its name (the method `peer` with that of the node at $PEER; `write` with the bytes of 100
that it could append to FOLDER/NAME.ledger, or the error), and any GET with 200. It writes FOLDER/NAME.up once it runs. Behaviours:

=================  ===============================================================
``mute``           accepts connections, never answers
``peer=OTHER``     answers errors until FOLDER/OTHER.up exists
``gate=FILE``      answers errors until FOLDER/FILE exists
``exit=CODE``      prints "boom" and exits
``stubborn``       ignores SIGTERM
``crash-on-term``  exits with code 3 on SIGTERM
``child``          has a child in its group, whose pid is in FOLDER/NAME.child
``stray``          has a child in a session of its own, pid as above
``chatter=BYTES``  prints that many bytes in lines of 100 before it listens
=================  ===============================================================
"""

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.request import Request, urlopen

NAME, FOLDER, (HOST, PORT) = sys.argv[1], Path(sys.argv[2]), sys.argv[3].split(":")
ASKED = dict(word.partition("=")[::2] for word in sys.argv[4:])
NEEDED = [FOLDER / f"{ASKED['peer']}.up"] if "peer" in ASKED else []
LEDGER: list[BinaryIO] = []
NEEDED += [FOLDER / ASKED["gate"]] if "gate" in ASKED else []


class Handler(BaseHTTPRequestHandler):
    """Answers requests."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answer a JSON-RPC call."""
        call = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if "mute" in ASKED:
            threading.Event().wait()
        if call["method"] == "peer":
            with urlopen(Request(os.environ["PEER"], data=b'{"method": "name"}'), timeout=5) as answer:  # noqa: S310
                self._answer(200, json.loads(answer.read()))
        elif call["method"] == "write":
            self._answer(200, {"jsonrpc": "2.0", "id": 1, "result": write()})
        elif all(path.exists() for path in NEEDED):
            self._answer(200, {"jsonrpc": "2.0", "id": 1, "result": NAME})
        else:
            self._answer(200, {"jsonrpc": "2.0", "id": 1, "error": {"code": -32000, "message": "not yet"}})

    def do_GET(self) -> None:
        """Answer a GET."""
        self._answer(200 if all(path.exists() for path in NEEDED) else 503, {"name": NAME})

    def log_message(self, *_: object) -> None:
        """Stay silent."""

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def say(text: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def write() -> object:
    """Append 100 bytes to a file that stays open; how many it were, or the error, which is also told in the log."""
    if not LEDGER:
        LEDGER.append((FOLDER / f"{NAME}.ledger").open("ab", buffering=0))
    try:
        return LEDGER[0].write(b"x" * 100)
    except OSError as exc:
        say(f"can't write: {exc}")
        return str(exc)


def main() -> None:
    """Behave."""
    if "stubborn" in ASKED:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "crash-on-term" in ASKED:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
    if ASKED.keys() & {"child", "stray"}:
        child = subprocess.Popen(["sleep", "600"], start_new_session="stray" in ASKED)
        (FOLDER / f"{NAME}.child").write_text(str(child.pid))
    for number in range(int(ASKED.get("chatter", 0)) // 100):
        sys.stdout.write(f"{number:09} {'x' * 89}\n")
    say(f"{NAME} is up")
    (FOLDER / f"{NAME}.up").touch()
    if "exit" in ASKED:
        say("boom")
        raise SystemExit(int(ASKED["exit"]))
    server = ThreadingHTTPServer((HOST, int(PORT)), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main()
