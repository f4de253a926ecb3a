"""What a machine may lack, told in one clear error each: no engine is needed."""

import http.server
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import orjson
import pytest

from orchestrator.runtimes.docker.address import Address
from orchestrator.runtimes.docker.errors import DiskFullError, EngineError, ImageError
from orchestrator.runtimes.docker.sdk import Client

FULL = "write /app/lib/x: no space left on device"


def said_by(program: str, *arguments: str) -> str:
    """What a Python program prints."""
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], check=True, capture_output=True, text=True
    ).stdout


def test_an_engine_that_does_not_let_us_in(tmp_path: Path) -> None:
    """A socket that this user may not open: the error names it, and the group to join."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(path))
        engine.listen()
        path.chmod(0)
        program = (
            "import os, sys\nfrom orchestrator.runtimes.docker.address import Address\n"
            "from orchestrator.runtimes.docker.errors import EngineUnreachableError\n"
            "os.environ['DOCKER_HOST'] = 'unix://' + sys.argv[1]\n"
            "os.geteuid() or (os.setgroups([]), os.setegid(65534), os.seteuid(65534))\n"
            "try:\n    Address.find()\nexcept EngineUnreachableError as exc:\n    print(exc.message, exc.hint)"
        )
        said = said_by(program, str(path))
    assert all(word in said for word in (str(path), "does not let this user in", "usermod")), said


def test_no_descriptor_left() -> None:
    """A process that may open no more files can't reserve ports: it is told how to have more."""
    program = (
        "import resource\nfrom orchestrator.runtimes.errors import NoPortError\n"
        "from orchestrator.runtimes.ports import PortReservations\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))\n"
        "with PortReservations() as ports:\n"
        "    try:\n        [ports.reserve() for _ in range(40)]\n"
        "    except NoPortError as exc:\n        print(exc.message, exc.hint)"
    )
    said = said_by(program)
    assert all(word in said for word in ("no port on 127.0.0.1", "Too many open files", "ulimit -n")), said


@pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own takes root")
def test_no_port_left() -> None:
    """In a network with four ports the fifth node gets none, and is told which range to widen."""
    program = (
        "import ctypes, fcntl, socket, struct\nfrom pathlib import Path\n"
        "from orchestrator.runtimes.errors import NoPortError\n"
        "from orchestrator.runtimes.ports import PortReservations\n"
        "assert ctypes.CDLL(None, use_errno=True).unshare(0x40000000) == 0\n"
        "with socket.socket() as any_socket:\n"
        "    fcntl.ioctl(any_socket, 0x8914, struct.pack('16sh14x', b'lo', 1))\n"
        "Path('/proc/sys/net/ipv4/ip_local_port_range').write_text('40000 40003')\n"
        "with PortReservations() as ports:\n"
        "    print(sorted(ports.reserve() for _ in range(4)))\n"
        "    try:\n        ports.reserve()\n"
        "    except NoPortError as exc:\n        print(exc.message, exc.hint)"
    )
    reserved, refused = said_by(program).splitlines()
    assert "[40000, 40001, 40002, 40003]" == reserved
    assert "ip_local_port_range" in refused


@pytest.fixture
def full_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An engine whose disk is full in the middle of a build, in the words of 20.10."""

    class Full(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            said = {"ApiVersion": "1.41", "Version": "20.10", "ServerVersion": "20.10"}
            self._send("content-length", str(len(orjson.dumps(said))), orjson.dumps(said))

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            said = [{"stream": "Step 1/2 : FROM x\n"}, {"errorDetail": {"message": FULL}, "error": FULL}]
            lines = [orjson.dumps(one) + b"\r\n" for one in said]
            chunks = [b"%x\r\n%b\r\n" % (len(line), line) for line in [*lines, b""]]
            self._send("transfer-encoding", "chunked", b"".join(chunks))

        def _send(self, header: str, value: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header(header, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Full)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("full_engine")
def test_an_engine_without_room_for_the_image() -> None:
    """A build that fails for want of room says so, and how to make some; it is no fault of the image."""
    client = Client(Address.find())
    told: list[str] = []
    try:
        with pytest.raises(EngineError) as caught:
            client.images.build(BytesIO(b"x" * 100_000), "rollnet:x", {}, {}, told.append, threading.Event())
    finally:
        client.close()
    assert (DiskFullError, True) == (type(caught.value), "image prune" in caught.value.hint)
    assert ["Step 1/2 : FROM x"] == told
    assert not isinstance(caught.value, ImageError)
