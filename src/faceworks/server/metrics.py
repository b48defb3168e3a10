"""Counters in the form of Prometheus, summed over all workers: each writes its own into the store now and then, and whoever is asked adds them up."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from .store import Store

__all__ = ["Metrics"]

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
ALIVE = 30.0
"""Seconds after which the gauges of a silent worker no longer count; its counters stay."""


class Metrics:
    """This worker's counters. Safe to use from several threads."""

    def __init__(self, store: Store, worker: str) -> None:
        self._store, self._worker = store, worker
        self._lock, self._written = threading.Lock(), 0.0
        self._counts: Counter[str] = Counter()
        self.gauges: dict[str, float] = {}

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answer. `route` is a template, never a path: the number of series stays small."""
        with self._lock:
            self._counts[json.dumps(["requests", method if method in METHODS else "other", route, status])] += 1
            bucket = next((index for index, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
            self._counts[json.dumps(["bucket", route, bucket])] += 1
            self._counts[json.dumps(["seconds", route])] += seconds  # type: ignore[assignment]

    def count(self, name: str) -> None:
        """Count something else: faces found, people enrolled."""
        with self._lock:
            self._counts[json.dumps(["events", name])] += 1

    def flush(self, force: bool = False) -> None:
        """Write the counters into the store, at most once in five seconds."""
        now = time.time()
        with self._lock:
            if not force and now - self._written < 5:
                return
            self._written, content = now, json.dumps({"counts": self._counts, "gauges": self.gauges})
        with self._store.write() as db:
            db.execute("INSERT OR REPLACE INTO counters VALUES (?, ?, ?)", (self._worker, now, content))
            # what dead workers counted is kept in one row, so that many restarts do not make many rows
            old = db.execute("SELECT worker, content FROM counters WHERE beat < ?", (now - 3600,)).fetchall()
            if len(old) > 1 or any(row["worker"] != "past" for row in old):
                total: Counter[str] = Counter()
                for row in old:
                    total.update(json.loads(row["content"])["counts"])
                db.execute("DELETE FROM counters WHERE beat < ?", (now - 3600,))
                db.execute("INSERT INTO counters VALUES ('past', 0, ?)", (json.dumps({"counts": total, "gauges": {}}),))

    def text(self) -> bytes:
        """Everything, of all workers, in the text format."""
        self.flush(force=True)
        counts: Counter[str] = Counter()
        gauges: Counter[str] = Counter()
        for row in self._store.connection.execute("SELECT * FROM counters"):
            content = json.loads(row["content"])
            counts.update(content["counts"])
            if row["beat"] > time.time() - ALIVE:
                gauges.update(content["gauges"])
        registry = CollectorRegistry()
        registry.register(_Collector(counts, gauges))
        return generate_latest(registry)


METHODS = ("GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS")


class _Collector:
    def __init__(self, counts: Mapping[str, float], gauges: Mapping[str, float]) -> None:
        self._counts, self._gauges = counts, gauges

    def describe(self) -> list[Metric]:
        """None: asked for at registration."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families."""
        requests = CounterMetricFamily("faceworks_requests", "Answers by method, route and status.", labels=["method", "route", "status"])
        events = CounterMetricFamily("faceworks_events", "What else was counted.", labels=["event"])
        buckets: dict[str, list[float]] = {}
        seconds: dict[str, float] = {}
        for name, value in self._counts.items():
            kind, *labels = json.loads(name)
            if kind == "requests":
                requests.add_metric([str(label) for label in labels], value)
            elif kind == "events":
                events.add_metric(labels, value)
            elif kind == "bucket":
                buckets.setdefault(labels[0], [0.0] * (len(BOUNDS) + 1))[labels[1]] += value
            else:
                seconds[labels[0]] = value
        times = HistogramMetricFamily("faceworks_request_seconds", "Seconds until the last byte of an answer.", labels=["route"])
        for route, row in buckets.items():
            total, rows = 0.0, []
            for bound, value in zip([*map(str, BOUNDS), "+Inf"], row, strict=True):
                total += value
                rows.append((bound, total))
            times.add_metric([route], rows, sum_value=seconds.get(route, 0.0))
        yield requests
        yield events
        yield times
        for name, value in sorted(self._gauges.items()):
            yield GaugeMetricFamily(f"faceworks_{name}", GAUGES.get(name, name), value=value)


GAUGES: Mapping[str, Any] = {"queue_waiting": "Requests waiting for a model.", "queue_running": "Requests at work.", "jobs_running": "Jobs at work."}
