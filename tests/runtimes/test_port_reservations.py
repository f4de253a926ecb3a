"""Reserved ports: nobody else gets them, their node always does."""

import asyncio
import contextlib
import multiprocessing
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from aiohttp import web

from orchestrator.runtimes.ports import LOOPBACK, PortReservations, listening


def reserve_and_listen(count: int) -> list[int]:
    """Reserve ports, listen on each, and return them while all are still held."""
    with PortReservations() as reservations, contextlib.ExitStack() as servers:
        ports = [reservations.reserve() for _ in range(count)]
        for port in ports:
            server = servers.enter_context(socket.socket())
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((LOOPBACK, port))
            server.listen()
        assert set(ports) == listening(ports)
    return ports


def test_parallel_reservations_never_collide() -> None:
    """100 reservations at once in threads are 100 ports, and each can be listened on."""
    with PortReservations() as reservations, ThreadPoolExecutor(16) as pool:
        ports = list(pool.map(lambda _: reservations.reserve(), range(100)))
        assert 100 == len(set(ports))
        with contextlib.ExitStack() as servers:
            for port in ports:
                server = servers.enter_context(socket.socket())
                server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                server.bind((LOOPBACK, port))
                server.listen()
            assert set(ports) == listening(ports)


def test_processes_never_collide() -> None:
    """Several processes that each reserve 25 ports and listen on all of them never get in one another's way."""
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert [25] * 8 == [len(set(ports)) for ports in pool.map(reserve_and_listen, [25] * 8)]


def test_others_pass_a_reserved_port_over() -> None:
    """Neither port-0 binds nor a plain bind of others get a reserved port, although nobody listens on it."""
    with PortReservations() as reservations, contextlib.ExitStack() as others:
        port = reservations.reserve()
        for reuse in (0, 1):
            for _ in range(2000):
                other = others.enter_context(socket.socket())
                other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
                other.bind((LOOPBACK, 0))
                assert port != other.getsockname()[1]
            others.close()
        with socket.socket() as plain, pytest.raises(OSError, match="in use"):
            plain.bind((LOOPBACK, port))


def test_nobody_listens_until_the_node_does() -> None:
    """Connections to a reserved port are refused at once."""
    with PortReservations() as reservations:
        port = reservations.reserve()
        assert set() == listening([port])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, port), timeout=5)


async def test_aiohttp_listens_again_and_again() -> None:
    """An aiohttp server binds its reserved port, and again after it was down with a connection still in TIME_WAIT."""
    with PortReservations() as reservations:
        port = reservations.reserve()
        for _ in range(3):
            runner = web.AppRunner(web.Application())
            await runner.setup()
            await web.TCPSite(runner, LOOPBACK, port).start()
            reader, writer = await asyncio.open_connection(LOOPBACK, port)
            await runner.cleanup()  # the server closes first, so TIME_WAIT is on its side
            await reader.read()
            writer.close()
            await writer.wait_closed()


def test_closing_gives_ports_back() -> None:
    """After closing, also twice, a plain bind succeeds."""
    reservations = PortReservations()
    port = reservations.reserve()
    reservations.close()
    reservations.close()
    with socket.socket() as plain:
        plain.bind((LOOPBACK, port))
