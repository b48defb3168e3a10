"""`Gallery`: every rule about people, over any store."""

from __future__ import annotations

import dataclasses
import itertools
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .. import image
from ..errors import GalleryUnavailable, InputError, Outdated
from ..pipeline import Pipeline, PipelineSpec
from ..types import FaceResult, FloatArray, Identification
from . import adding, enrolling, names, removal, upkeep
from . import binding as binding_
from .backend import Backend, Binding, Change, Entries, Info, Person, Samples
from .enrolling import Enrolled, NewFace
from .identifying import Calibration, Template, Templates, Threshold, decide, nearest_people, prepared
from .model import Model

if TYPE_CHECKING:
    from .audit import AuditLog

__all__ = ["Entry", "Gallery"]

T = TypeVar("T")
ROUNDS = 50
"""How often a change is computed anew because another writer was faster."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """A person with the samples that are neither removed nor expired."""

    person: Person
    samples: Samples


class Gallery:
    """People enrolled, found, removed. Opened by `faceworks.open_gallery`; a context manager.

    Args:
        backend: the store. spec, options, calibration: see `model.Model`.
        audit: the log of who did what, or None. clock: microseconds since 1970 UTC.
    """

    def __init__(
        self, backend: Backend, spec: PipelineSpec | None = None, options: Mapping[str, Any] | None = None, *, audit: AuditLog | None = None,
        calibration: Calibration | None = None, clock: Callable[[], int] = names.now,
    ) -> None:  # fmt: skip
        self.backend, self.audit, self.clock = backend, audit, clock
        self.model, self._templates = Model(backend, spec, options, calibration), Templates()

    def __enter__(self) -> Gallery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        """People, without removed ones."""
        return sum(not person.removed for person in self.backend.entries().people)

    def close(self) -> None:
        """Let go of the store."""
        self.backend.close()

    def check(self) -> dict[str, Any]:
        """Read everything again; what is worth knowing. Raises `GalleryCorrupt` where something is damaged."""
        return upkeep.check(self)

    def stats(self) -> dict[str, Any]:
        """Counts, model and store."""
        return upkeep.stats(self)

    def build_index(self, progress: Callable[[int], None] | None = None) -> int:
        """Build the search index (`exact=False`) of a gallery file; the number of samples in it."""
        return upkeep.build_index(self, progress)

    # --- the model ---

    @property
    def info(self) -> Info:
        """The store as it is now."""
        return self.backend.info

    @property
    def binding(self) -> Binding | None:
        """The model whose vectors are here, or None before the first."""
        return self.backend.info.binding

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline that made the vectors which are here now; another one once another process has embedded the gallery anew.

        Raises:
            ConfigError: a gallery that names no model, and none was given.
            ModelMismatch: it was embedded anew, and the spec or options it was opened with say otherwise.
        """
        return self.model.pipeline

    def require(self, pipeline: Pipeline) -> None:
        """Raise `ModelMismatch` unless the pipeline makes the vectors that are here; warn (`RecipeWarning`) when it finds faces in another way."""
        if (binding := self.binding) is not None:
            binding_.require(binding, pipeline, self.info.url)

    def bind(self, pipeline: Pipeline, dim: int) -> Binding:
        """The binding that vectors of this pipeline have."""
        return binding_.bind(pipeline, dim)

    @property
    def calibration(self) -> Calibration | None:
        """Of the recipe: the given one, else the pipeline's, else None."""
        return self.model.calibration

    @calibration.setter
    def calibration(self, value: Calibration | None) -> None:
        """Use this one instead."""
        self.model.given = value

    def threshold(self, given: float | None = None, fpir: float | None = None) -> Threshold:
        """Smallest similarity that names somebody: at a requested false positive identification rate, or of a given distance, or the model card's."""
        return self.model.threshold(given, fpir, self.clock())

    # --- who is here ---

    def people(self) -> list[Entry]:
        """Everybody, by name, with samples; without removed people and samples, and expired samples."""
        everything = self.backend.entries()
        order = np.argsort(everything.samples.person, kind="stable")
        bounds = np.searchsorted(everything.samples.person[order], np.arange(len(everything.people) + 1))
        entries = [
            Entry(person, self._living(everything.samples.take(order[low:high])))
            for person, low, high in zip(everything.people, bounds[:-1], bounds[1:], strict=True)
            if not person.removed
        ]
        return sorted(entries, key=lambda entry: (entry.person.name, entry.person.id))

    def _living(self, samples: Samples) -> Samples:
        return samples.take(samples.living(self.clock()))

    def person(self, reference: str) -> Person:
        """The one person with this id, or else with this name.

        Raises:
            UnknownPerson: nobody, or several of that name (their ids are listed).
        """
        return names.find(reference, [], [item for item in self.meant(reference) if not item.removed], "the gallery")

    def meant(self, reference: str) -> list[Person]:
        """Everybody with this id, or else with this name, removed ones too."""
        return [*self.backend.entries([reference]).people] or [*self.backend.entries(name=names.sought(reference)).people]

    def known(self, id: str | None, name: str) -> Person | None:
        """Who an enrollment means: the person with the id, or the only one with the name; None for somebody new.

        Raises:
            UnknownPerson: several have the name and no id was given.
        """
        if id is not None:
            found = self.backend.entries([names.clean_id(id)]).people
            return dataclasses.replace(found[0], removed=0) if found else None
        by_name = [item for item in self.backend.entries(name=names.clean_name(name)).people if not item.removed]
        return names.find(name, [], by_name, "the gallery") if by_name else None

    def get(self, reference: str) -> Entry:
        """A person with the living samples."""
        person = self.person(reference)
        return Entry(person, self._living(self.backend.entries([person.id]).samples))

    # --- enroll ---

    def enroll(self, name: str, *sources: Any, id: str | None = None, metadata: Mapping[str, Any] | None = None, consent: str = "",
               expires: Any = None, min_quality: float | None = None, keep_duplicates: bool = False) -> list[Enrolled]:  # fmt: skip
        """Enroll pictures of one person; the largest face of each counts. A name that is here already means that person.

        Raises:
            InputError: no face, a quality below `min_quality`, an unreadable picture. UnknownPerson: several people have the name.
            ModelMismatch: the gallery holds vectors of another model.
        """
        faces = [NewFace(name, source, id, dict(metadata or {}), consent, expires) for source in sources]
        if not faces:
            raise InputError("name at least one picture")
        out = list(self.enroll_many(faces, min_quality=min_quality, keep_duplicates=keep_duplicates))
        for item in out:
            if item.error is not None:
                raise item.error
        return out

    def enroll_many(self, faces: Iterable[NewFace], **options: Any) -> Iterator[Enrolled]:
        """See `enrolling.enroll`: many pictures, one answer each, errors collected."""
        self._writable()
        self.require(self.pipeline)
        return enrolling.enroll(self, faces, **options)

    def enroll_vectors(self, people: Sequence[str], vectors: FloatArray, model: str, **columns: Any) -> range:
        """Enroll vectors (N, D) that were made elsewhere, of people (N names) who are found by name or added; returns the sample ids.

        Raises:
            ModelMismatch: `model` is not the gallery's. InputError: a zero vector, one that is not finite, or of a wrong dimension.
        """
        return adding.add_vectors(self, people, vectors, model, columns)

    def store(self, people: Sequence[Person], samples: Samples, since: str | None = None) -> None:
        """Enroll what `enrolling` has measured."""
        binding = None if self.binding else self.bind(self.pipeline, samples.vectors.shape[1])
        affected = [*people, *self.backend.entries([id for id in samples.people if id not in {item.id for item in people}]).people]
        self.commit(Change(binding=binding, people=people, samples=samples, since=since), "enroll", affected)

    # --- change ---

    def _writable(self) -> None:
        if not self.info.writable:
            raise GalleryUnavailable(f"{self.info.url} was opened for reading alone (mode r); to change it takes mode r+ or a")

    def settle(self, work: Callable[[str], T]) -> T:
        """Carry out `work(revision)`, which looks, decides and commits with `Change.since`; anew when another writer came between.

        Raises:
            GalleryLocked: others were faster, again and again.
        """
        for round_ in range(ROUNDS):
            try:
                return work(self.info.revision)
            except Outdated:
                if round_ == ROUNDS - 1:
                    raise
                time.sleep(random.uniform(0, 0.002 * round_))
        raise AssertionError("unreachable")

    def commit(self, change: Change, action: str, people: Sequence[Person]) -> None:
        """One transaction, and its line in the audit log."""
        self._writable()
        self.backend.commit(change)
        self.note(action, people, 0 if change.samples is None else len(change.samples))

    def note(self, action: str, people: Sequence[Person], count: int) -> None:
        """A line in the audit log, where there is one."""
        if self.audit is not None:
            self.audit.add(action, [person.token for person in people], count)

    def rename(self, reference: str, name: str) -> Person:
        """Give a person another name; the id stays."""
        return self._changed(reference, "rename", name=names.clean_name(name))

    def describe(self, reference: str, metadata: Mapping[str, Any]) -> Person:
        """Replace a person's metadata."""
        return self._changed(reference, "describe", metadata=names.clean_metadata(metadata))

    def _changed(self, reference: str, action: str, **fields: Any) -> Person:
        def work(since: str) -> Person:
            person = dataclasses.replace(self.person(reference), **fields)
            self.commit(Change(people=[person], since=since), action, [person])
            return person

        return self.settle(work)

    def merge(self, into: str, other: str) -> Person:
        """Give all samples of `other` to `into`; `other` is gone (its metadata fills gaps)."""

        def work(since: str) -> Person:
            target, gone = self.person(into), self.person(other)
            if target.id == gone.id:
                raise InputError(f"{into!r} and {other!r} are the same person ({target.id})")
            target = dataclasses.replace(target, metadata={**gone.metadata, **target.metadata})
            samples = self.backend.entries([gone.id]).samples
            moved = samples.replace(people=(target.id,), person=np.zeros(len(samples), np.int32)) if len(samples) else None
            self.commit(Change(remove_people=[gone.id], people=[target], samples=moved, since=since), "merge", [target, gone])
            return target

        return self.settle(work)

    def remove(self, reference: str, samples: Sequence[int] | None = None) -> int:
        """Remove a person, or some of the person's samples; how many samples went. `restore` undoes it for 15 minutes; `forget` cannot be undone.

        Raises:
            UnknownPerson: nobody of that id or name, or a sample that the person does not have.
        """
        return self.settle(lambda since: removal.remove(self, reference, samples, since))

    def restore(self, reference: str) -> Person:
        """Undo the removal of a person, or of samples of a person, while it is possible.

        Raises:
            UnknownPerson: nothing of that id or name was removed, or it is too late.
        """
        return self.settle(lambda since: removal.restore(self, reference, since))

    def purge(self, *, expired: bool = True, removed_before: int | None = None) -> int:
        """Delete for good what was removed more than 15 minutes ago and, with `expired`, what has expired; people without samples left go too.

        How many samples went. The bytes are overwritten at the next compaction; `forget` compacts at once.
        """
        return self.settle(lambda since: removal.purge(self, expired, removed_before, since))

    def forget(self, reference: str) -> Person:
        """Delete a person for good, from disk too: the key, the audit token, and by compacting the bytes. It cannot be undone."""
        person = names.find(reference, [], self.meant(reference), "the gallery")
        self.commit(Change(remove_people=[person.id]), "forget", [person])
        self.backend.compact()
        return person

    def rotate_key(self, key: bytes | str | Path) -> None:
        """Seal an encrypted gallery file with another master key (32 bytes, base64 of them, or a file that holds either); the old one opens nothing any more.

        Raises:
            ConfigError: not encrypted, or no key.
        """
        upkeep.rotate_key(self, key)

    def clear(self) -> int:
        """Delete everybody for good; the model stays. How many samples went."""
        count = len(self.backend)
        self.commit(Change(clear=True, binding=self.binding), "clear", [])
        self.backend.compact()
        return count

    def add_entries(self, binding: Binding | None, entries: Entries, action: str = "import") -> None:
        """Add people and samples from elsewhere.

        Raises:
            ModelMismatch: vectors of another model. DuplicateEntry: a person's or sample's id is here already.
        """
        adding.add_entries(self, binding, entries, action)

    # --- identify ---

    def look_up(self, vectors: FloatArray, k: int = 3, *, template: Template = "best", exact: bool = True) -> list[list[tuple[str, float, int]]]:
        """For vectors (Q, D) of the gallery's model: the k nearest people as (id, similarity, sample), best first. No decision, no audit."""
        binding = self.binding
        if binding is None or not self.info.samples:
            return [[] for _ in vectors]
        queries = prepared(binding, np.atleast_2d(vectors))
        if queries.shape[1] != binding.dim:
            raise InputError(f"the gallery holds vectors of {binding.dim} numbers, got {queries.shape[1]}")
        if k < 1:
            raise InputError(f"k must be at least 1, got {k}")
        if template == "best":
            return nearest_people(self.backend, queries, k, self.clock(), exact)
        self._templates = self._templates.renewed(self.backend, template, self.clock())
        return self._templates.nearest(queries, k)

    def identify_results(self, results: Sequence[FaceResult], k: int = 5, *, threshold: float | None = None, fpir: float | None = None,
                         template: Template = "best", exact: bool = True, only: str | None = None) -> list[Identification]:  # fmt: skip
        """Who embedded faces are. `only` (an id) compares with that person alone."""
        return decide(self, results, k, self.threshold(threshold, fpir), template, exact, only)

    def identify(self, sources: Sequence[Any], k: int = 5, **options: Any) -> list[list[Identification]]:
        """Who the faces of pictures are: for each picture a list, one `Identification` for each face (all faces, best score first).

        Args:
            k: candidates for each face. threshold: largest distance, in the pipeline's metric. fpir: instead of it, the share of strangers that may
                be taken for somebody (needs a calibration). template: "best", "mean", "weighted". exact: False lets an index answer.
        """
        pictures = [image.load(source) for source in sources]
        pipeline = self.pipeline
        faces = pipeline.detect(pictures)
        embeddings = pipeline.embed_faces(pictures, faces)
        flat = [FaceResult(face, vector) for pair in zip(faces, embeddings, strict=True) for face, vector in zip(*pair, strict=True)]
        answers = iter(self.identify_results(flat, k, **options))
        return [list(itertools.islice(answers, len(group))) for group in faces]

    def verify_person(self, source: Any, reference: str, **options: Any) -> Identification:
        """Whether the largest face of a picture is this person: `person` is the name, or None.

        Raises:
            NoFaceFound, UnknownPerson
        """
        person = self.person(reference)
        picture = image.load(source)
        pipeline = Pipeline(self.pipeline.spec.with_options(select="largest", on_no_face="raise"))
        result = pipeline.embed([picture], [image.describe(source)])[0][:1]
        return self.identify_results(result, 1, only=person.id, **options)[0]
