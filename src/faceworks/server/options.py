"""What the person who starts the service decides."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError

__all__ = ["ServerOptions", "is_loopback"]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address (`localhost`, 127.0.0.0/8, ::1)."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Options of the service. Frozen and picklable: each worker process makes its application from them.

    Attributes:
        data: folder of the service: `service.db`, `galleries/`, `jobs/`. Made if absent, readable by its owner alone.
        host, port: where it listens. Beyond loopback it starts only with at least one key.
        hosts: names under which it is reached besides the address (behind a proxy: the public name); other `Host` headers are refused.
        origins: web origins ("https://lab.example") whose pages may call the API (CORS); none by default.
        models: models that a request may name besides the default detector and embedder.
        attributes: what `/analyze` answers when a request does not say; their models are fetched and opened at the start (requests fetch nothing).
        slots: pictures worked on at once; 0 = one per core.
        queue: requests that wait for a slot; the next is answered 503.
        batch: largest micro-batch; used only where the probe at the start shows a gain of `batch_gain`. 1 = never.
        max_body, max_upload: bytes of a request; of an upload of studies and evaluations.
        max_image_bytes, max_image_pixels, max_faces: of one picture. max_pictures: in one request.
        rate, burst: requests a second that one key may make in the long run, and at once.
        concurrency: requests of one key that run or wait at the same time.
        timeout: seconds for a whole request; header_timeout: for its head; body_timeout: for its body to arrive, and for a stalled client to take more of its answer.
        connections: open connections of one worker; more are answered 503.
        gallery_wait: seconds to wait for another writer of a gallery.
        drain: seconds that what runs may take after the signal to stop.
        job_timeout: seconds for an evaluation or a study. job_slots: jobs at once in one worker.
        sessions: seconds until a page's sign-in ends.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8000
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ("emotion", "age", "gender")
    slots: int = 0
    queue: int = 32
    batch: int = 8
    batch_gain: float = 1.2
    max_body: int = 48_000_000
    max_upload: int = 1_000_000_000
    max_image_bytes: int = 20_000_000
    max_image_pixels: int = 40_000_000
    max_faces: int = 200
    max_pictures: int = 16
    rate: float = 50.0
    burst: int = 100
    concurrency: int = 64
    timeout: float = 60.0
    header_timeout: float = 10.0
    body_timeout: float = 30.0
    connections: int = 512
    gallery_wait: float = 5.0
    drain: float = 30.0
    job_timeout: float = 6 * 3600.0
    job_slots: int = 1
    sessions: float = 12 * 3600.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "data", Path(self.data))
        for name in ("queue", "batch", "max_body", "max_upload", "max_image_bytes", "max_image_pixels", "max_faces", "max_pictures", "rate", "burst",
                     "concurrency", "timeout", "header_timeout", "body_timeout", "connections", "job_timeout", "job_slots", "sessions"):  # fmt: skip
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} must be positive, got {getattr(self, name)!r}")
        if self.slots < 0 or self.gallery_wait < 0 or self.drain < 0 or not 0 <= self.port <= 65535:
            raise ConfigError("slots, gallery_wait and drain are 0 or more, a port lies between 0 and 65535")
        for origin in self.origins:
            if not origin.startswith(("https://", "http://")) or origin.rstrip("/") != origin or "*" in origin:
                raise ConfigError(f"an origin is written like https://lab.example (no path, no *), got {origin!r}")

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        return is_loopback(self.host)

    @property
    def cores(self) -> int:
        """How many pictures are worked on at once."""
        try:
            return self.slots or len(os.sched_getaffinity(0))
        except AttributeError:  # not on this system
            return self.slots or os.cpu_count() or 1

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.data / "service.db"

    @property
    def galleries(self) -> Path:
        """Folder of the gallery files."""
        return self.data / "galleries"

    @property
    def jobs(self) -> Path:
        """Folder with one folder for each job."""
        return self.data / "jobs"
