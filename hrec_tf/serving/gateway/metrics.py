"""What a gateway counts, for Prometheus."""

from hrec_tf.serving.extra import require

prometheus = require("prometheus_client")

CONTENT_TYPE: str = prometheus.CONTENT_TYPE_LATEST


class Metrics:
    """Counters of one gateway, in a registry of their own.

    Attributes:
        events: by result: added, repeated or dropped.
        model_calls: by kind: step, replay or recommend.
        requests: by route and status.
        seconds: that requests took, by route.
        conflicts: writes that another came before.
        unreadable: records that could not be read and were lost.
        in_progress: requests that are being answered or wait for it.
    """

    def __init__(self) -> None:
        self.registry = registry = prometheus.CollectorRegistry()
        counter, of = prometheus.Counter, {"registry": registry, "namespace": "hrec_gateway"}
        self.events = counter("events", "Events that came.", ["result"], **of)
        self.model_calls = counter("model_calls", "Questions to the model.", ["kind"], **of)
        self.requests = counter("requests", "Requests that were answered.", ["route", "code"], **of)
        self.conflicts = counter("conflicts", "Writes that another came before.", **of)
        self.unreadable = counter("unreadable_records", "Records that were lost.", **of)
        self.seconds = prometheus.Histogram(
            "request_seconds", "Time until the answer.", ["route"], **of
        )
        self.in_progress = prometheus.Gauge(
            "requests_in_progress", "Requests that are answered or wait for it.", **of
        )

    def count_events(self, added: int, repeated: int, dropped: int) -> None:
        """Counts the events of one request."""
        for result, number in (("added", added), ("repeated", repeated), ("dropped", dropped)):
            if number:
                self.events.labels(result).inc(number)

    def text(self) -> bytes:
        """Returns all of it as Prometheus reads it."""
        return prometheus.generate_latest(self.registry)
