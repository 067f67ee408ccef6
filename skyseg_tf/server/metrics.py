"""What a server counts, for Prometheus."""

import time
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds

disable_created_metrics()  # a second series per counter, which says what start_time_seconds says


class ServeMetrics:
    """Counters and histograms of one application, in a registry of its own; safe in threads.

    Attributes:
      started: when, in seconds since 1970.
    """

    def __init__(self, waiting: Callable[[], int], capacity: int) -> None:
        """Starts at zero.

        Args:
          waiting: gives the photos that wait or are in work now.
          capacity: how many that may be.
        """
        self.started, self._registry = time.time(), CollectorRegistry()
        own = {"namespace": "skyseg", "registry": self._registry}
        self._answers = Counter(
            "requests", "Answered requests by path and status.", ("path", "status"), **own
        )
        self._request = Histogram(
            "request_seconds",
            "From the first byte of POST /mask to its answer.",
            buckets=BUCKETS,
            **own,
        )
        self._network = Histogram(
            "network_seconds", "Of the network alone, per photo.", buckets=BUCKETS, **own
        )
        self._pixels = Counter("pixels", "Pixels of all photos.", **own)
        Gauge("queue_photos", "Photos waiting or in work.", **own).set_function(waiting)
        Gauge("queue_capacity", "Photos that may wait or be in work.", **own).set(capacity)
        Gauge("start_time_seconds", "When the server started, since 1970.", **own).set(self.started)

    def count_answer(self, path: str, status: int, seconds: float) -> None:
        """Counts an answered request; only those of /mask enter the histogram."""
        self._answers.labels(path, status).inc()
        if path == "/mask":
            self._request.observe(seconds)

    def count_photo(self, pixels: int, seconds: float) -> None:
        """Counts a photo that went through the network in so many seconds."""
        self._pixels.inc(pixels)
        self._network.observe(seconds)

    @property
    def mean_seconds(self) -> float:
        """Of the network per photo so far; 0 before the first."""
        total, count = (
            self._registry.get_sample_value(f"skyseg_network_seconds_{what}") or 0.0
            for what in ("sum", "count")
        )
        return total / max(count, 1)

    def encode(self, accept: str) -> tuple[bytes, str]:
        """All of them.

        Args:
          accept: the header of that name, by which Prometheus tells the formats that it reads.

        Returns:
          The text, and its content type.
        """
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type
