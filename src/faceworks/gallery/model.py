"""The model of an open gallery: the pipeline that makes its vectors, and the calibration and thresholds that go with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from ..pipeline import Pipeline, PipelineSpec
from . import binding as binding_
from .backend import Backend, Binding
from .identifying import Calibration, Crowd, Threshold, threshold_at_fpir

__all__ = ["Model"]


class Model:
    """What makes vectors for a gallery. It follows the store: where another process has embedded the gallery anew, the next use is with the new model.

    Args:
        backend: the store, which remembers a binding or none yet.
        spec: of the pipeline; it must agree with the binding whenever that changes. None takes what the gallery remembers.
        options: single options on top, which must not contradict it either.
        calibration: of the recipe; None takes the pipeline's.

    Raises:
        ModelMismatch: a spec or options of another model than the gallery's.
    """

    def __init__(
        self, backend: Backend, spec: PipelineSpec | None = None, options: Mapping[str, Any] | None = None, calibration: Calibration | None = None
    ) -> None:  # fmt: skip
        self._backend, self._spec, self._options = backend, spec, dict(options or {})
        self._held: tuple[Binding | None, Pipeline] | None = None  # one value: threads never see a pipeline beside another's binding
        self._crowd = Crowd()
        self.given = calibration
        """The calibration to use instead of the pipeline's, or None."""
        if spec is not None or self._options:
            _ = self.pipeline

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline that makes the vectors which are in the store now.

        Raises:
            ConfigError: the gallery does not say how its vectors are made, and nothing was given.
            ModelMismatch: it was embedded anew, and what this was opened with says otherwise.
        """
        info = self._backend.info
        binding, held = info.binding, self._held
        if held is not None and held[0] == binding:
            return held[1]
        if self._spec is None and not self._options and binding is not None and not binding.spec:
            raise ConfigError(f"the gallery holds vectors of {binding.model}, but not how to make them; open it with a spec or --embedder")
        base = self._spec or PipelineSpec().with_options(**(binding.spec if binding else {}))
        pipeline = Pipeline(base.with_options(**self._options))
        if binding is not None:
            binding_.require(binding, pipeline, info.url)
        self._held = binding, pipeline
        return pipeline

    @property
    def known(self) -> Pipeline | None:
        """The pipeline, where something says which: what was given, or the store."""
        binding = self._backend.info.binding
        told = self._spec is not None or bool(self._options) or (binding is not None and bool(binding.spec))
        return self.pipeline if told else None

    @property
    def calibration(self) -> Calibration | None:
        """The given one, else that of the recipe, else None."""
        if self.given is not None:
            return self.given
        pipeline = self.known
        return None if pipeline is None else pipeline.calibration

    def bound(self, model: str, dim: int) -> Binding:
        """The binding of vectors that were made elsewhere; see `binding.bound`."""
        return binding_.bound(None if self._held is None else self.pipeline, model, dim)

    def threshold(self, given: float | None, fpir: float | None, now: int) -> Threshold:
        """See `Gallery.threshold`."""
        if fpir is not None:
            self._crowd = crowd = self._crowd.renewed(self._backend, now)
            return threshold_at_fpir(self.calibration, fpir, crowd.people)
        if given is None:
            decision = self.pipeline.decision()
            return Threshold.from_distance(decision.threshold, decision.metric, decision.source)
        pipeline = self.known
        return Threshold.from_distance(given, "cosine" if pipeline is None else pipeline.spec.metric, "given by the caller")
