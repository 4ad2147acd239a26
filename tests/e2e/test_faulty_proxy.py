"""The proxy's faults are what they say, and its end leaves nothing behind."""

from __future__ import annotations

import random
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest

from tests.faulty_proxy import CHUNK_BYTES, QUEUED_CHUNKS, FaultyProxy
from tests.patience import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Echo:
    """Sends back what comes, after its own letter."""

    def __init__(self, letter: bytes = b"") -> None:
        self.letter = letter
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.server.getsockname()[1]
        self.thread = threading.Thread(target=self._accept)
        self.thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=(connection,), daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65_536):
                    connection.sendall(self.letter + data)
            except OSError:
                return

    def close(self) -> None:
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[FaultyProxy]:
    with FaultyProxy(echo.port, random.Random(7)) as between:
        yield between


def dial(proxy: FaultyProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE_S)


def receive(client: socket.socket, length: int) -> bytes:
    """Exactly so many bytes, or fewer where the connection ends."""
    data = b""
    while len(data) < length and (more := client.recv(length - len(data))):
        data += more
    return data


def is_reset(proxy: FaultyProxy) -> bool:
    """Whether a new connection is, while it is made or right after."""
    try:
        with dial(proxy) as client:
            client.recv(65_536)
    except ConnectionResetError:
        return True
    return False


def until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < deadline, "it never came to be"
        threading.Event().wait(0.001)


def test_bytes_pass_both_ways_and_are_counted(proxy: FaultyProxy) -> None:
    sent = random.Random(1).randbytes(500_000)
    with dial(proxy) as client:
        threading.Thread(target=client.sendall, args=(sent,)).start()
        assert receive(client, len(sent)) == sent
        assert (proxy.accepted, proxy.connections) == (1, 1)
    until(lambda: proxy.connections == 0)
    assert proxy.passed == {"up": len(sent), "down": len(sent)}


def test_the_end_of_one_direction_is_passed_on_and_the_other_goes_on(proxy: FaultyProxy) -> None:
    with dial(proxy) as client:
        client.sendall(b"last words")
        client.shutdown(socket.SHUT_WR)
        assert receive(client, 100) == b"last words"


def test_cut_ends_every_connection_with_fin_or_with_rst(proxy: FaultyProxy) -> None:
    for reset in (False, True):
        with dial(proxy) as one, dial(proxy) as other:
            until(lambda: proxy.connections == 2)
            for client in (one, other):
                client.sendall(b"x")
                assert receive(client, 1) == b"x"
            assert proxy.cut(reset=reset) == 2
            for client in (one, other):
                if reset:
                    with pytest.raises(ConnectionResetError):
                        client.recv(65_536)
                else:
                    assert client.recv(65_536) == b""
        until(lambda: proxy.connections == 0)


def test_refused_connections_are_reset_and_living_ones_go_on(proxy: FaultyProxy) -> None:
    with dial(proxy) as old:
        old.sendall(b"1")
        assert receive(old, 1) == b"1"
        proxy.block()
        assert is_reset(proxy)
        old.sendall(b"2")
        assert receive(old, 1) == b"2"
        proxy.unblock()
        with dial(proxy) as new:
            new.sendall(b"3")
            assert receive(new, 1) == b"3"


def test_swallowed_connections_get_nothing_until_the_door_opens(proxy: FaultyProxy) -> None:
    proxy.block(swallow=True)
    with dial(proxy) as client:
        client.sendall(b"hello")
        until(lambda: proxy.connections == 1)
        assert proxy.passed == {"up": 0, "down": 0}
        proxy.unblock()
        assert receive(client, 5) == b"hello"


def test_a_stall_holds_one_direction_and_resume_passes_on_what_was_held(proxy: FaultyProxy) -> None:
    with dial(proxy) as client:
        client.sendall(b"a")
        assert receive(client, 1) == b"a"
        proxy.stall("down")
        client.sendall(b"b")
        until(lambda: proxy.passed["up"] == 2)
        assert proxy.passed["down"] == 1
        proxy.stall()
        client.sendall(b"c")
        with dial(proxy) as second:
            until(lambda: proxy.connections == 2)
            second.sendall(b"d")
            assert proxy.passed == {"up": 2, "down": 1}
            proxy.resume()
            assert receive(client, 2) == b"bc"
            assert receive(second, 1) == b"d"


def test_a_delay_is_added_each_way_and_does_not_limit_throughput(proxy: FaultyProxy) -> None:
    with dial(proxy) as client:
        proxy.delay(500)
        sent = b"x" * QUEUED_CHUNKS * CHUNK_BYTES
        start = time.monotonic()
        threading.Thread(target=client.sendall, args=(sent,)).start()
        assert receive(client, len(sent)) == sent
        taken_s = time.monotonic() - start
    assert 2 * 0.5 <= taken_s < QUEUED_CHUNKS * 0.5


def test_split_bytes_arrive_whole_and_in_order(proxy: FaultyProxy) -> None:
    sent = random.Random(2).randbytes(3_000)
    proxy.split(3)
    with dial(proxy) as client:
        client.sendall(sent)
        assert receive(client, len(sent)) == sent


def test_a_flapping_link_is_cut_again_and_again_until_it_heals(proxy: FaultyProxy) -> None:
    proxy.flap(5)
    for _ in range(3):
        try:
            with dial(proxy) as client:
                assert client.recv(65_536) == b""
        except ConnectionResetError:
            continue
    proxy.heal()
    with dial(proxy) as client:
        client.sendall(b"steady")
        assert receive(client, 6) == b"steady"


def test_heal_ends_every_fault_without_cutting(proxy: FaultyProxy) -> None:
    with dial(proxy) as old:
        until(lambda: proxy.connections == 1)
        proxy.stall()
        proxy.block(swallow=True)
        proxy.delay(60_000)
        proxy.split(1)
        with dial(proxy) as new:
            proxy.heal()
            for client in (old, new):
                client.sendall(b"well")
                assert receive(client, 4) == b"well"


def test_a_target_that_is_gone_resets_and_another_can_be_named(proxy: FaultyProxy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        free = nobody.getsockname()[1]
    proxy.retarget(free)
    assert is_reset(proxy)
    other = Echo(b"!")
    try:
        proxy.retarget(other.port)
        with dial(proxy) as client:
            client.sendall(b"x")
            assert receive(client, 2) == b"!x"
    finally:
        other.close()


def test_close_ends_stalled_and_swallowed_connections_and_the_port(echo: Echo) -> None:
    proxy = FaultyProxy(echo.port, random.Random(7))
    with dial(proxy) as stalled:
        until(lambda: proxy.connections == 1)
        proxy.stall()
        proxy.block(swallow=True)
        with dial(proxy) as swallowed:
            until(lambda: proxy.connections == 2)
            proxy.close()
            proxy.close()
            assert stalled.recv(65_536) == b""
            assert swallowed.recv(65_536) == b""
    with pytest.raises(ConnectionRefusedError):
        dial(proxy)
    assert proxy.connections == 0
