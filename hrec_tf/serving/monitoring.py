"""What a server counts, in the format of Prometheus."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
ROWS = tuple(2**power for power in range(11))


class Monitoring:
    """Counters of one server.

    Args:
        versions: returns the versions in service of each model.
        waiting: returns how many requests wait for a model.
    """

    def __init__(self, versions: Callable[[], dict[str, list[int]]], waiting: Callable[[], int]):
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "hrec_requests_total",
            "Requests that were answered, by the name of the status.",
            ["protocol", "method", "code"],
            registry=registry,
        )
        self._seconds = Histogram(
            "hrec_request_seconds",
            "From the moment a request is read to that its answer is written.",
            ["protocol", "method"],
            buckets=SECONDS,
            registry=registry,
        )
        self._rows = Histogram(
            "hrec_batch_rows", "Rows that were run together.", buckets=ROWS, registry=registry
        )
        self._padding = Counter(
            "hrec_padding_rows_total", "Rows that filled batches up.", registry=registry
        )
        Gauge("hrec_waiting_requests", "Requests that wait.", registry=registry).set_function(
            waiting
        )
        registry.register(_Versions(versions))

    def batch(self, rows: int, asked: int) -> None:
        """Counts a batch of so many rows, of which so many were asked for."""
        self._rows.observe(asked)
        self._padding.inc(rows - asked)

    @contextmanager
    def request(self, protocol: str, method: str) -> Iterator[list[str]]:
        """Counts a request; whoever answers it puts the name of its status into the list."""
        begin, code = time.perf_counter(), ["OK"]
        try:
            yield code
        finally:
            self._requests.labels(protocol, method, code[-1]).inc()
            self._seconds.labels(protocol, method).observe(time.perf_counter() - begin)

    def text(self) -> bytes:
        """Returns all of it as Prometheus reads it."""
        return generate_latest(self._registry)


class _Versions:
    """Tells the versions that are in service at the moment of asking."""

    def __init__(self, versions: Callable[[], dict[str, list[int]]]):
        self._versions = versions

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "hrec_model_version", "1 for each version in service.", labels=["model", "version"]
        )
        for name, numbers in self._versions().items():
            for number in numbers:
                family.add_metric([name, str(number)], 1)
        yield family
