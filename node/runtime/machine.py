"""What a machine says of itself, as `node/findings.py` takes it: its files, a certificate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from node.config.reading import NAME as CONFIG
from node.errors import ConfigError
from node.runtime import x509
from node.runtime.keys import KEY_FILE
from storage.sqlite.database import DATABASE

if TYPE_CHECKING:
    from node.config.sections import TlsSection

READ_BY_OTHERS = 0o044


def exposed(directory: Path) -> list[str]:
    """Files with secrets that other users of this machine can read."""
    files = [directory / name for name in (DATABASE, f"{DATABASE}-wal", KEY_FILE) if _entered(directory)]
    files += [path for path in (Path(CONFIG), directory / CONFIG) if _entered(path.absolute().parent)]
    files += (directory / "tls").glob("*.key") if _entered(directory) and _entered(directory / "tls") else ()
    return [str(path) for path in files if _mode(path) & READ_BY_OTHERS]


def _entered(directory: Path) -> bool:
    return bool(_mode(directory) & 0o011)


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0


def certificate(settings: TlsSection) -> dict[str, object] | None:
    """Since and until when the configured certificate holds, or `why` that cannot be said. None without one."""
    if settings.certificate is None:
        return None
    try:
        said = x509.said(x509.read(Path(settings.certificate).read_bytes())[0])
    except (OSError, ValueError, IndexError, ConfigError) as error:
        return {"why": str(error)}
    return {
        "not_before": said.not_before.isoformat(),
        "not_after": said.not_after.isoformat(),
        "not_before_ms": int(said.not_before.timestamp() * 1000),
        "not_after_ms": int(said.not_after.timestamp() * 1000),
    }
