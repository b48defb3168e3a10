"""What one worker process holds: options, store, queue, counters, open galleries; how it wakes and how it stops."""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from .. import api, assets, cards, settings
from ..errors import ConfigError, FaceworksError
from ..pipeline import PipelineSpec
from . import ledger
from .metrics import Metrics
from .options import ServerOptions
from .problems import Problem
from .queue import ModelQueue
from .security.keys import any_key
from .shelf import Shelf
from .store import Store

__all__ = ["State"]

log = logging.getLogger("faceworks.server")
uploads = frozenset({"/v1/evaluations", "/v1/studies"})


class State:
    """Made once for each application; `start` and `stop` frame its life.

    Attributes:
        worker: name of this process among those that share the store. draining: whether it is stopping.
        warm: whether the models are open. trouble: why they are not.
    """

    def __init__(self, options: ServerOptions) -> None:
        self.options = options
        self.settings = settings.current()
        self.worker = f"{os.getpid():x}-{secrets.token_hex(3)}"
        for folder in (options.data, options.galleries, options.jobs):
            try:
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise ConfigError(f"cannot make {folder}: {error.strerror}; give --data a folder that may be written") from error
        self.store = Store(options.database)
        if not options.loopback and not any_key(self.store.connection):
            self.store.close()
            raise ConfigError(
                f"{options.host} can be reached from other machines and there is no key: make one first "
                "(faceworks serve keys add NAME --role admin), or listen on 127.0.0.1"
            )
        self.uploads = uploads
        self.metrics = Metrics(self.store, self.worker)
        self.queue = ModelQueue(options.cores, options.queue, self._settings)
        self.shelf = Shelf(options)
        usual = PipelineSpec()
        for name in options.models:
            cards.get(name)
        self.models = (usual.detector, usual.embedder, *options.models)
        self.draining = self.warm = False
        self.trouble = "the models are being opened"
        self.gain: float | None = None

    def _settings(self) -> AbstractContextManager[settings.Settings]:
        """Around each call in a model thread: the operator's settings as they were at the start, with the service's limits and without network: what a
        request may use is fetched at the start, so that nobody outside makes the service download."""
        limits = {"max_image_bytes": self.options.max_image_bytes, "max_image_pixels": self.options.max_image_pixels, "threads": 1}
        return settings.use(self.settings, offline=True, **limits)

    def spec(self, **options: Any) -> PipelineSpec:
        """A pipeline's options: the request's, one thread for each network, and the limit on faces.

        Raises:
            Problem: 422, a model that this service does not serve.
        """
        for role, task in (("detector", "detect"), ("embedder", "embed"), ("landmarker", "landmark")):
            name = options.get(role)
            if name and name not in self.models:
                served = ", ".join(model for model in self.models if cards.get(model).task == task) or "none"
                raise Problem(422, f"{role} {name[:80]!r} is not served here; served: {served}", "model-not-served")
        return PipelineSpec(**{"threads": 1, "max_faces": self.options.max_faces, **options})

    def wake(self) -> None:
        """In a model thread: open the networks on a blank picture, and find out whether they gain by batches."""
        try:
            spec = self.spec(select="largest", on_no_face="whole")
            blank = np.full((480, 640, 3), 128, np.uint8)
            with settings.use(offline=self.settings.offline):
                api.embed([blank], spec)
                for name in self.options.models:
                    assets.fetch_all(cards.get(name).file, progress=False)
            if self.options.batch > 1:
                self.gain = _gain(spec, blank, self.options.batch)
                self.queue.batch = self.options.batch if self.gain >= self.options.batch_gain else 1
                does = "work is done in batches" if self.queue.batch > 1 else "pictures are worked on one by one"
                log.info("a picture in a batch of %d takes %.2f times as long as alone: %s", self.options.batch, 1 / self.gain, does)
            self._wake_attributes(spec, blank)
            self.warm, self.trouble = True, ""
        except FaceworksError as error:
            self.trouble = f"the models cannot be opened ({type(error).__name__})"
            log.error("not ready: %s", error)

    def _wake_attributes(self, spec: PipelineSpec, blank: Any) -> None:
        """The rest works without them: `/analyze` then answers 503."""
        if not self.options.attributes:
            return
        try:
            with settings.use(offline=self.settings.offline):
                api.analyze([blank], self.options.attributes, spec=spec)
        except FaceworksError as error:
            log.warning("no attributes: %s", error)

    def event(self, key: str, action: str, target: str, request: str) -> None:
        """A line in the service's own audit log."""
        with self.store.write() as db:
            ledger.note(db, key, action, target, request)

    def folder(self, job: str) -> Path:
        """The folder of a job."""
        return self.options.jobs / job

    def close(self) -> None:
        """Let go of everything; what runs in the queue is finished first."""
        self.queue.close()
        self.shelf.close()
        self.metrics.flush(force=True)
        self.store.close()


def _gain(spec: PipelineSpec, blank: Any, size: int) -> float:
    """How much faster a picture goes in a batch than alone: medians of three, interleaved."""

    def seconds(batches: Sequence[Sequence[Any]]) -> float:
        start = time.perf_counter()
        for batch in batches:
            api.embed(batch, spec)
        return time.perf_counter() - start

    seconds([[blank] * size])
    rounds = [(seconds([[blank]] * size), seconds([[blank] * size])) for _ in range(3)]
    return float(np.median([single / together for single, together in rounds]))
