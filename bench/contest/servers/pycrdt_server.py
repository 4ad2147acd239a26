"""pycrdt-websocket with its SQLite store. Arguments: PORT FOLDER"""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from pycrdt import Doc
from pycrdt.store import SQLiteYStore
from pycrdt.websocket import ASGIServer, WebsocketServer, YRoom


class Rooms(WebsocketServer):
    """Every room keeps its document in one database of the folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(auto_clean_rooms=False)
        self._file = folder / "rooms.db"
        self._store = type("Store", (SQLiteYStore,), {"db_path": str(self._file)})

    async def get_room(self, name: str) -> YRoom:
        if name not in self.rooms:
            document: Doc[Any] = Doc()
            for update in self._kept(name):
                document.apply_update(update)
            self.rooms[name] = YRoom(ready=self.rooms_ready, ystore=self._store(name), log=self.log, ydoc=document)
        room = self.rooms[name]
        await self.start_room(room)
        return room

    def _kept(self, name: str) -> list[bytes]:
        """What the store has of a room. Read at once: the store's own reading lets others in between."""
        if not self._file.exists():
            return []
        with closing(sqlite3.connect(self._file)) as database:
            rows = database.execute("SELECT yupdate FROM yupdates WHERE path = ? ORDER BY timestamp", (name,))
            return [update for (update,) in rows]


class Telling(uvicorn.Server):
    """Says when it is ready."""

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        print("ready", flush=True)


async def main(port: int, folder: Path) -> None:
    rooms = Rooms(folder)
    config = uvicorn.Config(ASGIServer(rooms), host="127.0.0.1", port=port, log_level="warning", ws_max_queue=1024)
    async with rooms:
        await Telling(config).serve()


if __name__ == "__main__":
    anyio.run(partial(main, int(sys.argv[1]), Path(sys.argv[2])))
