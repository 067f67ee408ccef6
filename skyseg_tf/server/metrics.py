"""What a server counts, as text for Prometheus.

Reference: https://prometheus.io/docs/instrumenting/exposition_formats (text format 0.0.4).
"""

import threading
import time
from collections import Counter

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)  # seconds
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Histogram:
    def __init__(self) -> None:
        self.counts, self.sum, self.count = [0] * len(BUCKETS), 0.0, 0

    def add(self, seconds: float) -> None:
        self.sum, self.count = self.sum + seconds, self.count + 1
        for index, limit in enumerate(BUCKETS):
            self.counts[index] += seconds <= limit

    def lines(self, name: str) -> list[str]:
        rows = [
            f'{name}_bucket{{le="{limit:g}"}} {count}'
            for limit, count in zip(BUCKETS, self.counts, strict=True)
        ]
        total = f'{name}_bucket{{le="+Inf"}} {self.count}'
        return [*rows, total, f"{name}_sum {self.sum:.6f}", f"{name}_count {self.count}"]


class ServeMetrics:
    """Counters and histograms; safe to use from several threads."""

    def __init__(self) -> None:
        """Starts at zero."""
        self._lock = threading.Lock()
        self._answers: Counter = Counter()
        self._pixels = 0
        self._request, self._network = _Histogram(), _Histogram()
        self.started = time.time()

    def count_answer(self, path: str, status: int, seconds: float) -> None:
        """Counts an answered request; only those of /mask enter the histogram."""
        with self._lock:
            self._answers[path, status] += 1
            if path == "/mask":
                self._request.add(seconds)

    def count_photo(self, pixels: int, seconds: float) -> None:
        """Counts a photo that went through the network in so many seconds."""
        with self._lock:
            self._pixels += pixels
            self._network.add(seconds)

    @property
    def mean_seconds(self) -> float:
        """Of the network per photo so far; 0 before the first."""
        with self._lock:
            return self._network.sum / max(self._network.count, 1)

    def render(self, waiting: int, capacity: int) -> str:
        """All of them as text, with the photos now waiting or in work and how many may be."""
        with self._lock:
            parts = [
                ("requests_total", "counter", "Answered requests by path and status.", [
                    f'skyseg_requests_total{{path="{path}",status="{status}"}} {count}'
                    for (path, status), count in sorted(self._answers.items())
                ]),
                ("request_seconds", "histogram", "From the first byte of POST /mask to its answer.",
                 self._request.lines("skyseg_request_seconds")),
                ("network_seconds", "histogram", "Of the network alone, per photo.",
                 self._network.lines("skyseg_network_seconds")),
                ("pixels_total", "counter", "Pixels of all photos.",
                 [f"skyseg_pixels_total {self._pixels}"]),
                ("queue_photos", "gauge", "Photos waiting or in work.",
                 [f"skyseg_queue_photos {waiting}"]),
                ("queue_capacity", "gauge", "Photos that may wait or be in work.",
                 [f"skyseg_queue_capacity {capacity}"]),
                ("start_time_seconds", "gauge", "When the server started, since 1970.",
                 [f"skyseg_start_time_seconds {self.started:.3f}"]),
            ]  # fmt: skip
        lines = []
        for name, kind, text, rows in parts:
            lines += [f"# HELP skyseg_{name} {text}", f"# TYPE skyseg_{name} {kind}", *rows]
        return "\n".join(lines) + "\n"
