"""[backup], [retention], [disk], [log]: what a node does to its own data by itself, and what it says of it."""

from __future__ import annotations

from crdt.classes import frozen
from node.errors import ConfigError


@frozen
class BackupSection:
    """[backup]: copies of the database that the node makes by itself.

    every_h: hours between two; 0 for none.
    keep: how many stay in each folder; the oldest go.
    folder: below the data directory, or elsewhere.
    second_folder: where each is copied once more, as a stick or a share. It has to be there.
    """

    every_h: float = 24.0
    keep: int = 7
    folder: str = "backups"
    second_folder: str | None = None

    def check(self) -> None:
        """Raises ConfigError."""
        if not 0 <= self.every_h <= 8_784:
            raise ConfigError(f"[backup] every_h is 0 (none) to 8784 (a year), not {self.every_h}")
        if not 1 <= self.keep <= 10_000:
            raise ConfigError(f"[backup] keep is 1 to 10000, not {self.keep}")
        if not self.folder or self.second_folder == "":
            raise ConfigError("[backup] a folder needs a name")


@frozen
class RetentionSection:
    """[retention]: how long history stays in the database. What is older goes into archives, which prove themselves.

    keep_days: 0 for all of it.
    hour: 0 to 23, in [time] zone. Within two hours from then on, the node archives.
    """

    keep_days: int = 0
    hour: int = 4

    def check(self) -> None:
        """Raises ConfigError."""
        if not 0 <= self.keep_days <= 36_600:
            raise ConfigError(f"[retention] keep_days is 0 (all) to 36600 (a century), not {self.keep_days}")
        if not 0 <= self.hour <= 23:
            raise ConfigError(f"[retention] hour is 0 to 23, not {self.hour}")


@frozen
class DiskSection:
    """[disk]: free space, in megabytes (10**6 bytes), below which the node says so, in two levels.

    low_mb: a warning. last_mb: `/readyz` says no. The node stores and confirms as long as the disk takes it.
    """

    low_mb: int = 2_000
    last_mb: int = 200

    def check(self) -> None:
        """Raises ConfigError."""
        if not 0 <= self.last_mb <= self.low_mb <= 10**12:
            raise ConfigError(f"[disk] 0 <= last_mb <= low_mb, not {self.last_mb} and {self.low_mb}")


FORMATS = ("auto", "text", "json")


@frozen
class LogSection:
    """[log]: what goes to standard error.

    format: "text" is for people, "json" is one object a line, "auto" is text on a terminal and JSON elsewhere.
    verbose: each connection too.
    """

    format: str = "auto"
    verbose: bool = False

    def check(self) -> None:
        """Raises ConfigError."""
        if self.format not in FORMATS:
            raise ConfigError(f"[log] format {self.format[:64]!r} is none of {', '.join(FORMATS)}")
