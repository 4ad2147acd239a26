"""`/metrics` in the Prometheus text format, collected from the core when it is asked for.

Nothing is counted here: the figures are fields of node/core/statistics.py. `metrics.md` lists every metric.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from crdt.engine import running
from node.core.operations.quarantine import BAD, WAITING
from node.core.terminal_clocks import SHOWN
from node.runtime.api.links import links_and_away

if TYPE_CHECKING:
    from collections.abc import Iterator

    from node.core.core import Core
    from node.runtime.api.doctor import Doctor


class CoreCollector(Collector):
    """Reads a core's counters; keeps none of its own."""

    def __init__(self, core: Core, doctor: Doctor | None) -> None:
        self._core, self._doctor = core, doctor

    def collect(self) -> Iterator[Metric]:
        core = self._core
        quarantine = core.replica.quarantine
        counts, statistics, replica = core.replica.counts, core.statistics, core.replica
        full = self._doctor is not None and self._doctor.space.full is not None
        for name, text, gauge in (
            ("ready", "1 while /readyz says ready.", int(core.trouble is None and not full)),
            ("connections", "Connected terminals.", len(core.sessions.online)),
            ("log_head", "Last durable log row.", replica.log.committed),
            ("resident_entities", "Entities held in memory.", len(replica.residents.entities)),
            ("known_operations", "Operation ids of the log.", len(replica.held.known)),
            ("clock_ahead_seconds", "Stamps ahead of the machine's clock.", core.replica.clock.ahead_ms / 1000),
            ("head_alarms", "Signed heads held elsewhere that this log contradicts.", len(core.links.heads.alarms)),
            ("keys_offered", "Keys of nodes that wait for a decision.", replica.keyring.waiting),
            ("terminals_shared", "Terminals that several devices connect as.", len(core.sessions.devices.shared)),
            ("wal_bytes", "The write-ahead log; it grows while another program reads.", core.disk.wal_bytes),
            ("archived_operations", "Operation ids held without a row.", len(replica.held.archived)),
            ("conflicts_open", "Conflicts that nobody has decided.", sum(map(len, replica.conflicts.open.values()))),
        ):
            yield GaugeMetricFamily(f"comanda_{name}", text, value=gauge)
        for name, text, count in (
            ("operations", "Operations accepted.", counts.operations),
            ("duplicates", "Operations that were already in the log.", counts.duplicates),
            ("contradictions", "Operations that a linked node holds otherwise.", counts.contradictions),
            ("quarantine_let_go", "Operations that waited in the quarantine and went for others.", quarantine.let_go),
            ("beyond_rights", "Operations of links that do what their author may not.", counts.beyond_rights),
            ("refused", "Writes refused and kept.", counts.refused),
            ("conflicts", "Conflicts raised.", counts.conflicts),
            ("conflicts_resolved", "Conflicts closed.", counts.conflicts_resolved),
            ("commits", "Durable transactions.", statistics.commits),
            ("commit_failures", "Transactions the disk refused.", statistics.commit_failures),
            ("clock_jumps", "Times the machine's clock was set by more than a minute.", core.replica.clock.jumps),
            ("read_failures", "Reads the disk refused, twice in a row.", core.disk.read_failures),
            ("connections_refused", "TCP connections over a limit.", statistics.connections_refused),
            ("realms_refused", "Connections and messages of another store.", statistics.realms_refused),
            ("messages", "Messages received.", statistics.messages.total),
            ("deliveries", "Rows sent to terminals on the live path.", statistics.deliveries.total),
        ):
            yield CounterMetricFamily(f"comanda_{name}", text, value=count)
        yield from self._links()
        yield from self._upkeep()
        said = {"version": core.around.version, "engine": running(replica.residents.engine)}
        yield InfoMetricFamily("comanda_build", "What runs here.", value=said)
        wrong = replica.terminal_clocks.wrong(core.clock())
        yield GaugeMetricFamily("comanda_terminal_clocks_wrong", "Terminals whose clock is wrong.", value=len(wrong))
        clocks = GaugeMetricFamily(
            "comanda_terminal_clock_seconds",
            f"What is added to a terminal's timestamps; the {SHOWN} clocks that are most wrong.",
            labels=["terminal"],
        )
        for terminal_id, offset_ms in list(wrong.items())[:SHOWN]:
            clocks.add_metric([terminal_id], offset_ms / 1000)
        yield clocks
        level = GaugeMetricFamily("comanda_level", "How far a limit is used.", labels=["limit"])
        limit = GaugeMetricFamily("comanda_limit", "Limits, by name.", labels=["limit"])
        for label, used, most in core.levels():
            level.add_metric([label], used)
            limit.add_metric([label], most)
        yield level
        yield limit
        latency = GaugeMetricFamily(
            "comanda_confirmation_seconds",
            "From a group's first operation to its durable confirmation, latest 2048 groups.",
            labels=["quantile"],
        )
        for quantile in (0.5, 0.99):
            latency.add_metric([str(quantile)], statistics.confirmation.percentile(quantile) / 1000)
        yield latency

    def _links(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("comanda_link_up", "1 while a link stands. Nodes that went away: 0.", labels=["link"])
        lag = GaugeMetricFamily(
            "comanda_link_lag_rows",
            "Log rows that the other node has not confirmed, also while down.",
            labels=["link"],
        )
        links, away = links_and_away(self._core, self._doctor.diallers if self._doctor is not None else ())
        for entry in (*links, *away):
            name = str(entry["peer"] or entry["url"])
            up.add_metric([name], int(entry["state"] == "up"))
            if isinstance(waits := entry["lag"], int):
                lag.add_metric([name], waits)
        yield up
        yield lag
        held = GaugeMetricFamily(
            "comanda_quarantine_operations", "Operations of links that are not applied.", labels=["state"]
        )
        states = [row.state for row in self._core.replica.quarantine]
        for state in (BAD, WAITING):
            held.add_metric([state], states.count(state))
        yield held

    def _upkeep(self) -> Iterator[Metric]:
        if self._doctor is None:
            return
        backups, retention, space = self._doctor.backups, self._doctor.retention, self._doctor.space
        yield GaugeMetricFamily("comanda_disk_level", "Disk space: 0 enough, 1 low, 2 the last.", value=space.level)
        for name, text, size in (
            ("free", "Free space of the data directory's disk.", space.free_bytes),
            ("total", "Size of the data directory's disk.", space.total_bytes),
        ):
            if size is not None:
                yield GaugeMetricFamily(f"comanda_disk_{name}_bytes", text, value=size)
        for name, text, last_ms in (
            ("backup", "When the newest copy was made by the clock.", backups.last_ms),
            ("archive", "When the newest archive was made, by whomever.", retention.archiver.last_ms),
        ):
            if last_ms is not None:
                yield GaugeMetricFamily(f"comanda_{name}_timestamp_seconds", text, value=last_ms / 1000)
        for name, text, failures in (
            ("backup", "Copies by the clock that failed, in either folder.", backups.failures),
            ("archive", "Archives by the clock that failed.", retention.failures),
        ):
            yield CounterMetricFamily(f"comanda_{name}_failures", text, value=failures)


def exposition(core: Core, doctor: Doctor | None = None) -> bytes:
    """The text a scraper gets. doctor: what knows the rest of the node."""
    registry = CollectorRegistry()
    registry.register(CoreCollector(core, doctor))
    return generate_latest(registry)
