"""Targets: a whole node (the real core over a real store) that a terminal, or a linked node, sends anything.

The first byte says who sends; each further line is a frame (of a terminal, `!7` is the pong to a ping). Whatever
comes, the node stores on, and a terminal that did nothing wrong is served as before.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

import orjson

from node.core import monitors
from node.core.links.link import Link
from node.wire.links.handshake import Hello
from tests.fuzz.samples import keyed, link_messages, terminal_messages
from tests.harness import Client, World
from tests.mesh import End

INPUTS_OF_A_NODE = 200
"""After so many inputs the node starts afresh, so that an input that fails does so by itself."""

SHM = Path("/dev/shm")


class FreshNode:
    """The node, and the terminal that must not notice anything."""

    def __init__(self, *, upstream: bool) -> None:
        self.upstream = upstream
        self.directory: Path | None = None
        self.left = 0
        self._logger = logging.getLogger("comanda")
        self._level = self._logger.level

    def fresh(self) -> World:
        """The node, started again when it is worn out."""
        if self.left == 0:
            self.close()
            self._logger.setLevel(logging.CRITICAL)  # a node says much of bad links
            self.directory = Path(tempfile.mkdtemp(dir=SHM if SHM.is_dir() else None))
            self.world = World(self.directory / "data", upstream=self.upstream)
            self.healthy = Client(self.world, "healthy").connect()
            self.left = INPUTS_OF_A_NODE
        self.left -= 1
        return self.world

    def works(self) -> None:
        world = self.world
        assert world.core.health.ok
        answer = self.healthy.do("products", "healthy", "UPDATE", {"n": self.left})
        assert answer["type"] == "sync_confirmation", answer
        self.healthy.inbox.clear()
        world.advance(1_001)
        world.settle()
        orjson.dumps(orjson.loads(monitors.terminal_status(world.core)))
        orjson.dumps([orjson.loads(message) for message in monitors.performance(world.core, 1.0)])

    def broken(self) -> None:
        """What failed is not gone on from."""
        self.left = 0

    def close(self) -> None:
        if self.directory is not None:
            self.world.close()
            shutil.rmtree(self.directory)
            self._logger.setLevel(self._level)
            self.directory = None


class Terminals:
    """A terminal sends anything."""

    KINDS = ("pos", "waiter", "kds", "monitor")

    def __init__(self) -> None:
        self._node = FreshNode(upstream=False)

    def __call__(self, data: bytes) -> None:
        if not data:
            return
        world = self._node.fresh()
        client = Client(world, "guest", self.KINDS[data[0] % 4]).connect(full=bool(data[0] & 4))
        try:
            for line in data[1:].split(b"\n"):
                assert client.session is not None
                if line[:1] == b"!" and line[1:].isdigit():
                    client.session.pong(int(line[1:100]))
                else:
                    client.session.receive(line)
                if data[0] & 8:
                    world.settle()
            world.settle()
            for frame in client.connection.frames:
                assert isinstance(frame, tuple) or type(orjson.loads(frame)) is dict
            client.disconnect()
            self._node.works()
        except BaseException:
            self._node.broken()
            raise

    def close(self) -> None:
        self._node.close()

    @staticmethod
    def seeds() -> list[bytes]:
        lines = [orjson.dumps(message) for message in terminal_messages()]
        return [b"\x00" + line for line in lines] + [b"\x08" + b"\n".join([*lines, b"!1", lines[0]]), b"\x04!2"]


class Links:
    """A linked node sends anything."""

    def __init__(self) -> None:
        self._nodes = {upstream: FreshNode(upstream=upstream) for upstream in (False, True)}

    def __call__(self, data: bytes) -> None:
        if not data:
            return
        dialled = bool(data[0] & 1)
        node = self._nodes[dialled]
        world = node.fresh()
        end = End("node", "rogue")
        hello = None if dialled else Hello("n1", "e-1", 3, world.wall_ms, "", None)
        role = ("upstream" if dialled else "downstream") if data[0] & 2 else "peer"
        url = "ws://other" if dialled else None
        link = Link(host=world.core.links, role=role, connection=end, session_id="session", url=url, hello=hello)
        try:
            if hello is not None:
                link.open()
            for line in data[1:].split(b"\n"):
                link.receive(line if data[0] & 8 else keyed(line))
                if data[0] & 4:
                    world.settle()
            world.settle()
            for frame in end.frames:
                orjson.loads(frame)
            node.works()
            world.core.links.unlink(link)
            world.settle()
        except BaseException:
            node.broken()
            raise

    def close(self) -> None:
        for node in self._nodes.values():
            node.close()

    @staticmethod
    def seeds() -> list[bytes]:
        messages = [orjson.dumps(message) for message in link_messages()]
        greeting, claim, fresh = messages[:3]
        alone = [bytes((2,)) + b"\n".join((fresh, message)) for message in messages[3:]]
        dialled = [bytes((3,)) + b"\n".join((greeting, message)) for message in messages[10:]]
        every = [bytes((flags,)) + b"\n".join(messages) for flags in range(8)]
        return [
            *alone,
            *dialled,
            *every,
            b"\x02" + claim,
            b"\x03" + fresh,
            b"\x06[" + b",".join(messages[3:9]) + b"]",
        ]
