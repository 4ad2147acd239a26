"""What a machine says of itself, as `node/findings.py` takes it: its files, its certificates, its addresses."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from node.config.reading import NAME as CONFIG
from node.errors import ConfigError
from node.runtime.keys import KEY_FILE
from storage.sqlite.database import DATABASE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.config.sections import Config
    from node.runtime import x509

READ_BY_OTHERS = 0o044


def exposed(directory: Path, config: Config | None = None) -> list[str]:
    """Files with secrets that other users of this machine can read. config: which names keys elsewhere."""
    files = [directory / name for name in (DATABASE, f"{DATABASE}-wal", KEY_FILE) if _entered(directory)]
    files += [path for path in (Path(CONFIG), directory / CONFIG) if _entered(path.absolute().parent)]
    files += (directory / "tls").glob("*.key") if _entered(directory) and _entered(directory / "tls") else ()
    keys = [] if config is None else [config.tls.key, *(at.own_key for at in config.links.at.values())]
    files += [path for key in keys if key and (path := Path(key)) not in files and _entered(path.absolute().parent)]
    return [str(path) for path in files if _mode(path) & READ_BY_OTHERS]


def unwritable(directory: Path) -> list[str]:
    """What this user should be able to write, and cannot."""
    wanted = [directory, *(directory / name for name in (DATABASE, f"{DATABASE}-wal", KEY_FILE))]
    return [str(path) for path in wanted if path.exists() and not os.access(path, os.W_OK)]


def absent(config: Config) -> list[str]:
    """Addresses that the node is told to listen on, and the machine does not have."""
    return [one.host for one in config.addresses() if _is_absent(one.host)]


def _is_absent(host: str) -> bool:
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
            with closing(socket.socket(family, kind, protocol)) as tried:
                tried.bind(address)
    except OSError as error:
        return error.errno == errno.EADDRNOTAVAIL
    return False


def _entered(directory: Path) -> bool:
    return bool(_mode(directory) & 0o011)


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def certificates(config: Config) -> dict[str, dict[str, object]]:
    """By file: since and until when each certificate of the configuration holds, or `why` that cannot be said.

    Of a file with several it is the one that ends first.
    """
    return {name: _held(name) for name in dict.fromkeys(_files(config))}


def _files(config: Config) -> Iterator[str]:
    own = [config.tls.certificate, config.tls.client_ca]
    for at in config.links.at.values():
        own += [at.ca, at.own_certificate]
    yield from (name for name in own if name is not None)


def _held(name: str) -> dict[str, object]:
    from node.runtime import x509  # a node without certificates does not load it

    try:
        return holds(*map(x509.said, x509.read(Path(name).read_bytes())))
    except (OSError, ValueError, ConfigError) as error:
        return {"why": str(error)}


def holds(*all_said: x509.Said) -> dict[str, object]:
    """Since and until when all of these certificates hold. Raises ValueError for none."""
    if not all_said:
        raise ValueError("there is no certificate in it")
    since = max(said.not_before for said in all_said)
    until = min(said.not_after for said in all_said)
    return {
        "not_before": since.isoformat(),
        "not_after": until.isoformat(),
        "not_before_ms": int(since.timestamp() * 1000),
        "not_after_ms": int(until.timestamp() * 1000),
    }
