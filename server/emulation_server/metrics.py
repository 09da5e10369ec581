"""The metrics of a gateway, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from emulation import Observer, Statistics
from emulation_server.watching import Watch

__all__ = ["Metrics"]

_NAME = "websocket_emulation_"

# From a local network to a phone in a train, in seconds.
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics(Observer, Collector):
    """What is counted as it happens, and what is summed up when somebody asks.

    `watch` and `statistics` are set when there are any.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.watch: Watch | None = None
        self.statistics: Callable[[], Statistics] | None = None
        self._moves = self._counter(
            "transport_changes_total",
            "Falls and upgrades: sessions that another transport serves than before.",
            ["before", "after"],
        )
        self._attaches = self._counter(
            "attaches_total", "Downstreams that have begun to serve a page.", ["transport"]
        )
        self._resumes = self._counter(
            "resumes_total", "Attaches that were not a page's first.", ["transport"]
        )
        self._failures = self._counter(
            "backend_failures_total", "Backends that were not reached or broke off.", ["reason"]
        )
        self._answers = Histogram(
            _NAME + "round_trip_seconds",
            "From a ping to the next word of the page, which may have been on its way already.",
            ["transport"],
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def _counter(self, name: str, text: str, labels: list[str]) -> Counter:
        return Counter(_NAME + name, text, labels, registry=self.registry)

    # --- Told as it happens -----------------------------------------------------------------------

    def moved(self, session: str, before: str, after: str) -> None:
        """See Observer."""
        self._moves.labels(before, after).inc()

    def attached(self, transport: str, is_first: bool) -> None:
        """See Observer."""
        self._attaches.labels(transport).inc()
        if not is_first:
            self._resumes.labels(transport).inc()

    def answered(self, transport: str, seconds: float) -> None:
        """See Observer."""
        self._answers.labels(transport).observe(seconds)

    def failed(self, reason: str) -> None:
        """Count a backend that was not reached or broke off."""
        self._failures.labels(reason).inc()

    # --- Summed up when asked ---------------------------------------------------------------------

    def describe(self) -> list[Metric]:
        """Return nothing: there is nothing to sum up when this is registered."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Return the metrics that are read off the sockets there are."""
        if self.watch is not None:
            yield from _of_sockets(self.watch)
        if self.statistics is not None:
            yield from _of_sessions(self.statistics())


def _of_sockets(watch: Watch) -> Iterator[Metric]:
    totals = watch.totals
    sockets = GaugeMetricFamily(_NAME + "sockets", "Open WebSockets.", labels=["transport"])
    transports = [watched.transport for watched in watch.sockets.values() if watched.is_open]
    for transport in sorted(set(transports)):
        sockets.add_metric([transport], transports.count(transport))
    yield sockets
    opened = CounterMetricFamily(
        _NAME + "opens", "WebSockets that were accepted.", labels=["transport"]
    )
    for transport, count in totals.opened.items():
        opened.add_metric([transport], count)
    yield opened
    refused = CounterMetricFamily(
        _NAME + "refusals", "WebSockets that were refused.", labels=["status"]
    )
    for status, count in totals.refused.items():
        refused.add_metric([str(status)], count)
    yield refused
    ended = CounterMetricFamily(_NAME + "closes", "WebSockets that have ended.", labels=["code"])
    for code, count in totals.ended.items():
        ended.add_metric([str(code)], count)
    yield ended
    for name, text, sums in (
        ("messages", "Messages passed on.", totals.messages),
        ("message_bytes", "Bytes of messages passed on.", totals.bytes),
    ):
        family = CounterMetricFamily(_NAME + name, text, labels=["direction"])
        for direction, count in sums.items():
            family.add_metric([direction], count)
        yield family


def _of_sessions(statistics: Statistics) -> Iterator[Metric]:
    texts = {
        "sessions": "Emulated WebSockets.",
        "carriers": "Pages below one path.",
        "unreceived": "Bytes that wait for the backend or the application.",
        "unacknowledged": "Bytes that are kept until the pages have them.",
    }
    for name, value in statistics._asdict().items():
        unit = "_bytes" if name.startswith("un") else ""
        yield GaugeMetricFamily(_NAME + name + unit, texts[name], value=value)
