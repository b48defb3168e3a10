"""The service against the library: throughput of /verify at 1, 8 and 32 callers, latency, overload, and memory over many requests.

    python bench/server_load.py [--seconds 4] [--rounds 3]      # throughput, overload
    python bench/server_load.py --memory 10000                  # memory alone

The service is a process of its own; so is the library, which is called from as many threads as there are callers, with networks of one thread each.
Rounds of both are interleaved, medians are given, and the processor time of one answer, which a busy machine changes less. Pictures: two of the card
`samples` (14 and 142 kB). The client's threads share the machine with the service. For overload the line has 8 places, and four times as many callers
come as it and the slots together take.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import http.client
import json
import math
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

    def processor(self) -> float:
        """Seconds of the processor so far (proc(5): fields 14 and 15)."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """Ask it to stop, and wait."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.folder.cleanup()


def form(a: bytes, b: bytes) -> tuple[bytes, dict[str, str]]:
    """The body of a /verify request and its headers, made once: the client shares the machine with the service."""
    parts = b"".join(
        b'--cut\r\nContent-Disposition: form-data; name="%s"; filename="%s.jpg"\r\nContent-Type: image/jpeg\r\n\r\n%s\r\n' % (name, name, data)
        for name, data in ((b"a", a), (b"b", b))
    )
    return parts + b"--cut--\r\n", {"Content-Type": "multipart/form-data; boundary=cut"}


def ask(url: str, callers: int, seconds: float, a: bytes, b: bytes) -> tuple[float, list[float], Counter[int]]:
    """Requests a second that succeeded, sorted latencies of them, statuses. Each caller has one connection and one request at a time."""
    body, headers = form(a, b)
    ready = threading.Barrier(callers)

    def one(_: int) -> tuple[list[float], Counter[int]]:
        times, statuses = [], Counter[int]()
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=120)
        connection.connect()
        ready.wait()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            start = time.perf_counter()
            connection.request("POST", "/v1/verify", body, headers)
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
            if answer.status == 200:
                times.append(time.perf_counter() - start)
            else:
                time.sleep(0.02)
        connection.close()
        return times, statuses

    with concurrent.futures.ThreadPoolExecutor(callers) as pool:
        start = time.monotonic()
        rows = list(pool.map(one, range(callers)))
    times = sorted(value for row, _ in rows for value in row)
    return len(times) / (time.monotonic() - start), times, sum((statuses for _, statuses in rows), Counter())


def p99(times: list[float]) -> float:
    """Milliseconds, nearest rank."""
    return round(1000 * times[math.ceil(0.99 * len(times)) - 1], 1) if times else math.nan


def library(callers: int, seconds: float, a: bytes, b: bytes) -> dict[str, float]:
    """Calls a second of `faceworks.verify` from as many threads, networks of one thread each, as the service has them; processor seconds of a call."""
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
    start, processor = time.monotonic(), time.process_time()
    with concurrent.futures.ThreadPoolExecutor(callers) as pool:
        done = sum(pool.map(one, range(callers)))
    return {"per_s": done / (time.monotonic() - start), "cpu": (time.process_time() - processor) / done}


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
        print(json.dumps(library(asked.child, asked.seconds, a, b)))
        return
    out: dict[str, object] = {}
    service = Service("--queue", "64")
    try:
        for callers in () if asked.memory else (1, 8, 32):
            direct, served, times, spent = [], [], [], []
            for _ in range(asked.rounds):
                words = [sys.executable, __file__, "--child", str(callers), "--seconds", str(asked.seconds)]
                direct.append(json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout))
                before = service.processor()
                rate, latencies, statuses = ask(service.url, callers, asked.seconds, a, b)
                assert set(statuses) == {200}, statuses
                served.append(rate)
                spent.append((service.processor() - before) / len(latencies))
                times += latencies
            times.sort()
            out[f"verify x{callers}"] = {
                "library_per_s": round(statistics.median(row["per_s"] for row in direct), 2), "service_per_s": round(statistics.median(served), 2),
                "ratio": round(statistics.median(mine / row["per_s"] for mine, row in zip(served, direct, strict=True)), 3),
                "library_cpu_ms": round(1000 * statistics.median(row["cpu"] for row in direct), 1), "service_cpu_ms": round(1000 * statistics.median(spent), 1),
                "p50_ms": round(1000 * statistics.median(times), 1), "p99_ms": p99(times), "n": len(times),
            }  # fmt: skip
            print(callers, out[f"verify x{callers}"], flush=True)
        if asked.memory:
            ask(service.url, 4, 2, a, a)
            rows, done = [(0, round(service.resident(), 1))], 0
            while done < asked.memory:
                _, _, statuses = ask(service.url, 4, 5, a, a)
                assert set(statuses) == {200}, statuses
                done += statuses[200]
                rows.append((done, round(service.resident(), 1)))
                print(*rows[-1], flush=True)
            out["memory"] = {"requests_and_mb": rows[:: max(1, len(rows) // 12)], "last": rows[-1]}
            print(json.dumps(out))
            return
    finally:
        service.stop()
    slots = len(os.sched_getaffinity(0))
    service = Service("--queue", "8")
    try:
        rate, times, statuses = ask(service.url, 4 * (8 + slots), asked.seconds, a, b)
        alive = httpx.get(f"{service.url}/v1/health").status_code
        after, _, later = ask(service.url, 2, 1, a, b)
        out["overload x4"] = {
            "callers": 4 * (8 + slots), "service_per_s": round(rate, 2), "p99_ms": p99(times), "statuses": dict(statuses), "health": alive,
            "afterwards_per_s": round(after, 2), "afterwards": dict(later),
        }  # fmt: skip
        print(out["overload x4"], flush=True)
    finally:
        service.stop()
    print(json.dumps(out))


if __name__ == "__main__":
    main()
