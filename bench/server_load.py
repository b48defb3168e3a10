"""The service against the library: throughput of /verify at 1, 8 and 32 callers, latency, overload, and memory over many requests.

    python bench/server_load.py [--seconds 5] [--memory 10000]

The service is a process of its own; so is the library, which is called from as many threads as there are callers, with networks of one thread each.
Rounds of both are interleaved, medians are given. Pictures: two of the card `samples`. The client's threads share the machine with the service.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

from faceworks import api, assets, cards, settings
from faceworks.pipeline import PipelineSpec


def pictures() -> tuple[bytes, bytes]:
    """Two pictures of one person."""
    card = cards.get("samples")
    a, b = (assets.fetch(card.file_for(name), progress=False).read_bytes() for name in ("person_a_1", "person_a_2"))
    return a, b


class Service:
    """`faceworks serve` as a process."""

    def __init__(self, *options: str) -> None:
        self.folder = tempfile.TemporaryDirectory()
        words = [
            sys.executable,
            "-m",
            "faceworks",
            "serve",
            "--port",
            "0",
            "--data",
            self.folder.name,
            "--rate",
            "1000000",
            "--burst",
            "1000000",
            *options,
        ]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.url = ""
        for line in self.process.stderr:
            if match := re.search(r"listening on (http://\S+)", line):
                self.url = match[1]
                break
        stream = self.process.stderr
        threading.Thread(target=lambda: [None for _ in stream], daemon=True).start()
        while httpx.get(f"{self.url}/v1/ready").status_code != 200:
            time.sleep(0.1)

    def resident(self) -> float:
        """Megabytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self) -> None:
        """Ask it to stop, and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.folder.cleanup()


def ask(url: str, callers: int, seconds: float, a: bytes, b: bytes) -> tuple[float, list[float], Counter[int]]:
    """Requests a second that succeeded, sorted latencies of them, statuses."""
    end = time.monotonic() + seconds

    def one(_: int) -> tuple[list[float], Counter[int]]:
        times, statuses = [], Counter[int]()
        with httpx.Client(base_url=url, timeout=60) as client:
            while time.monotonic() < end:
                start = time.perf_counter()
                answer = client.post("/v1/verify", files={"a": ("a.jpg", a), "b": ("b.jpg", b)})
                statuses[answer.status_code] += 1
                if answer.status_code == 200:
                    times.append(time.perf_counter() - start)
                else:
                    time.sleep(0.02)
        return times, statuses

    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(callers) as pool:
        rows = list(pool.map(one, range(callers)))
    times = sorted(value for row, _ in rows for value in row)
    return len(times) / (time.monotonic() - start), times, sum((statuses for _, statuses in rows), Counter())


def library(callers: int, seconds: float, a: bytes, b: bytes) -> float:
    """Calls a second of `faceworks.verify` from as many threads, networks of one thread each, as the service has them."""
    spec = PipelineSpec(threads=1)
    active = settings.current()

    def one(_: int) -> int:
        with settings.use(active):
            count, end = 0, time.monotonic() + seconds
            while time.monotonic() < end:
                api.verify(a, b, spec)
                count += 1
            return count

    api.verify(a, b, spec)
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(callers) as pool:
        return sum(pool.map(one, range(callers))) / (time.monotonic() - start)


def main() -> None:
    """Measure and print; The last line is JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, default=0)
    parser.add_argument("--child", type=int, default=0)
    asked = parser.parse_args()
    a, b = pictures()
    if asked.child:
        print(library(asked.child, asked.seconds, a, b))
        return
    out: dict[str, object] = {}
    service = Service("--queue", "64")
    try:
        for callers in (1, 8, 32):
            direct, served, times = [], [], []
            for _ in range(asked.rounds):
                words = [sys.executable, __file__, "--child", str(callers), "--seconds", str(asked.seconds)]
                direct.append(float(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
                rate, latencies, statuses = ask(service.url, callers, asked.seconds, a, b)
                assert set(statuses) == {200}, statuses
                served.append(rate)
                times += latencies
            ratio = statistics.median(s / d for s, d in zip(served, direct, strict=True))
            times.sort()
            out[f"verify x{callers}"] = {
                "library_per_s": round(statistics.median(direct), 2), "service_per_s": round(statistics.median(served), 2), "ratio": round(ratio, 3),
                "p50_ms": round(1000 * times[len(times) // 2], 1), "p99_ms": round(1000 * times[int(0.99 * (len(times) - 1))], 1), "n": len(times),
            }  # fmt: skip
            print(callers, out[f"verify x{callers}"], flush=True)
        if asked.memory:
            before, rows = service.resident(), []
            done = 0
            while done < asked.memory:
                _, _, statuses = ask(service.url, 4, 10, a, b)
                done += sum(statuses.values())
                rows.append((done, round(service.resident(), 1)))
            out["memory"] = {"before_mb": round(before, 1), "requests_and_mb": rows[:: max(1, len(rows) // 10)], "last": rows[-1]}
            print(out["memory"], flush=True)
    finally:
        service.stop()
    service = Service("--queue", "8")  # line of 8 and 2 slots: 40 callers are 4 times what it takes
    try:
        rate, times, statuses = ask(service.url, 40, asked.seconds, a, b)
        alive = httpx.get(f"{service.url}/v1/health").status_code
        after, _, _ = ask(service.url, 2, 1, a, b)
        out["overload x4"] = {
            "service_per_s": round(rate, 2), "p99_ms": round(1000 * times[int(0.99 * (len(times) - 1))], 1), "statuses": dict(statuses), "health": alive,
            "afterwards_per_s": round(after, 2),
        }  # fmt: skip
        print(out["overload x4"], flush=True)
    finally:
        service.stop()
    print(json.dumps(out))


if __name__ == "__main__":
    main()
