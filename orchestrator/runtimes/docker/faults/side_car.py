"""Runs beside a node, in its network: applies what is asked, and looks whether it takes effect. A program of the standard library alone.

Given one JSON document, it prints another one:

===============  ==========================================================================================================
``own``          asked: the node's address on the fabric
``steps``        asked: one filter table after the other, each a list of rules for INPUT and OUTPUT; the last one stays
``rate``         asked: bytes a second that may leave; null for no limit
``look``         asked: ``{"cut": [address, port], "at": [index of rule for each step]}``, ``{"heard": [address, port]}``,
                 ``{"loss": [address, …], "at": index}``, ``{"rate": [address, …]}`` or null
``before``       told: what became of a connection before the first step
``after``        told: what becomes of one now, or in numbers what was seen
``matched``      told: packets that each rule has met since it was written
``queue``        told: the queue that now stands, as ``tc`` shows it
``missing``      told instead: programs that are not there
``failed``       told instead: what went wrong
===============  ==========================================================================================================

With ``connect HOST PORT SECONDS`` as its arguments it tells what becomes of one connection, and that is all.
"""

import errno
import fcntl
import json
import os
import re
import select
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

Document = dict[str, Any]

_TOOLS = ("iptables-restore", "iptables-save", "tc")
_SIOCGIFADDR = 0x8915
_CLOSED_PORT = 9
"""Nobody listens there: whoever is reached says no at once."""
_BEFORE_S, _HEARS_S, _HANGS_S, _MEETS_S, _LOSES_S, _OFFERS_S = 0.4, 1.0, 0.25, 0.5, 2.0, 0.25
_HEARD = ("connected", "refused")
_ENOUGH, _AT_ONCE = 200, 50
_DATAGRAM = bytes(1400)
_COUNTED = re.compile(r"^\[(\d+):\d+\] -A ")
_NO_QUEUE = "noqueue"
_BURST, _BURSTS_A_SECOND = 1600, 50
"""What may leave at once: at least one packet, bytes."""


def connection(host: str, port: int, within_s: float) -> str:
    """What becomes of a connection: ``connected``, ``refused``, ``silence``, ``no such name`` or the kernel's words."""
    try:
        address = socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4]
    except OSError:
        return "no such name"
    with socket.socket() as attempt:
        attempt.settimeout(within_s)
        try:
            attempt.connect(address)
        except TimeoutError:
            return "silence"
        except ConnectionRefusedError:
            return "refused"
        except OSError as exc:
            return errno.errorcode.get(exc.errno or 0, str(exc))
    return "connected"


def apply(rules: Sequence[str]) -> None:
    """Make these the filter table, all at once."""
    chains = [f":{chain} ACCEPT [0:0]" for chain in ("INPUT", "FORWARD", "OUTPUT")]
    table = "\n".join(["*filter", *chains, *rules, "COMMIT", ""])
    _ran(["iptables-restore", "-w", "5"], table)


def shape(own: str, rate: int | None) -> Document:
    """Limit what leaves by the interface of this address; returns the queue that stands there."""
    device = _device(own)
    if device is None:
        return {}
    if rate is not None:
        burst = max(_BURST, rate // _BURSTS_A_SECOND)
        queue = ["tbf", "rate", f"{rate * 8}bit", "burst", str(burst), "latency", "400ms"]
        _ran(["tc", "qdisc", "replace", "dev", device, "root", *queue])
    elif queue_at(own)["kind"] != _NO_QUEUE:
        _ran(["tc", "qdisc", "del", "dev", device, "root"])
    return queue_at(own)


def queue_at(own: str) -> Document:
    """The queue of the interface that has this address."""
    device = _device(own)
    shown = _ran(["tc", "-s", "-j", "qdisc", "show", "dev", device, "root"]) if device is not None else ""
    found: list[Document] = json.loads(shown or "[]")
    return found[0] if found else {"kind": _NO_QUEUE}


def matched() -> list[int]:
    """Packets that each rule has met, in the order of the rules."""
    lines = _ran(["iptables-save", "-c", "-t", "filter"]).splitlines()
    return [int(found[1]) for found in map(_COUNTED.match, lines) if found]


def main(asked: Document) -> Document:
    """Apply, look, tell."""
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        return {"missing": missing}
    look = asked["look"] or {}
    told: Document = {}
    if "cut" in look:
        told["before"] = connection(*_place(look["cut"]), _BEFORE_S)
    for index, rules in enumerate(asked["steps"]):
        apply(rules)
        if "cut" in look:
            told["after"] = _cut(*_place(look["cut"]), look["at"][index])
        told.setdefault("met", []).append(matched())
    told["queue"] = shape(asked["own"], asked["rate"]) if asked["own"] else {}
    if "heard" in look:
        told["after"] = _heard(*_place(look["heard"]))
    elif "loss" in look:
        told["after"] = _lost(look["loss"], look["at"])
    elif "rate" in look:
        told["after"] = _offered(look["rate"], asked)
        told["queue"] = queue_at(asked["own"])
    told["matched"] = matched()
    return told


def _place(place: Sequence[Any]) -> tuple[str, int]:
    return str(place[0]), int(place[1])


def _cut(host: str, port: int, rule: int) -> str:
    """Try to connect until a rule has met a packet; then say what becomes of it."""
    until = time.monotonic() + _MEETS_S
    while True:
        outcome = connection(host, port, _HANGS_S)
        if matched()[rule] or time.monotonic() > until:
            return outcome


def _heard(host: str, port: int) -> str:
    until = time.monotonic() + _HEARS_S
    while True:
        outcome = connection(host, port, _HANGS_S)
        if outcome in _HEARD or time.monotonic() > until:
            return outcome


def _lost(hosts: Sequence[str], rule: int) -> Document:
    """Knock at closed doors, each of which answers with a packet, until some answers were lost."""
    sent = answered = 0
    until = time.monotonic() + _LOSES_S  # of one packet in a thousand takes many
    while time.monotonic() < until:
        answered += _knock(hosts[sent // _AT_ONCE % len(hosts)])
        sent += _AT_ONCE
        if sent >= _ENOUGH and matched()[rule]:
            break
    return {"sent": sent, "answered": answered}


def _knock(host: str) -> int:
    poll, doors = select.poll(), []
    for _ in range(_AT_ONCE):
        door = socket.socket()
        door.setblocking(False)
        door.connect_ex((host, _CLOSED_PORT))
        poll.register(door, select.POLLOUT)
        doors.append(door)
    answered, until = 0, time.monotonic() + 0.02
    while answered < _AT_ONCE and time.monotonic() < until:
        for descriptor, _ in poll.poll(5):
            poll.unregister(descriptor)
            answered += 1
    for door in doors:
        door.close()
    return answered


def _offered(hosts: Sequence[str], asked: Document) -> Document:
    """Offer twice as much as may pass, and watch for a while."""
    began, offered = time.monotonic(), 0
    enough = 2 * (max(_BURST, asked["rate"] // _BURSTS_A_SECOND) + asked["rate"] * _OFFERS_S + len(_DATAGRAM))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        while time.monotonic() - began < _OFFERS_S:
            try:
                if offered < enough:
                    offered += sender.sendto(_DATAGRAM, (hosts[0], _CLOSED_PORT))
                    continue
            except ConnectionRefusedError:
                continue
            except BlockingIOError:  # the queue holds it back
                pass
            time.sleep(0.01)
    return {"offered": offered, "seconds": time.monotonic() - began}


def _device(own: str) -> str | None:
    packed = socket.inet_aton(own)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        for _, name in socket.if_nameindex():
            try:
                found = fcntl.ioctl(any_socket, _SIOCGIFADDR, struct.pack("256s", name.encode()))
            except OSError:
                continue
            if found[20:24] == packed:
                return name
    return None


def _ran(command: Sequence[str], given: str = "") -> str:
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(command)}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


if __name__ == "__main__":
    if sys.argv[1] == "connect":
        os.environ["RES_OPTIONS"] = "timeout:1 attempts:1"  # a name that is gone may get no answer at all
        answer: Any = connection(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
    else:
        try:
            answer = main(json.loads(sys.argv[1]))
        except (OSError, ValueError) as failure:
            answer = {"failed": str(failure)}
    sys.stdout.write(json.dumps(answer) + "\n")
