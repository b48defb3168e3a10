"""A client of the service, with the library's verbs and values.

    client = Client("https://faces.lab.example", key="fw_…")
    client.verify("a.jpg", "b.jpg").verified
    client.enroll("staff", "Ada Lovelace", "ada1.jpg", "ada2.jpg")
    client.identify("staff", "party.jpg")[0].person

Pictures are paths, bytes or binary files of *this* machine; their bytes are sent. Answers are the values of `faceworks.types`; refusals are its
errors (`NoFaceFound`, `UnknownPerson`, …), and `ServiceError` for what only a service can say. Busy answers (429, 503) are waited for as the service
asks; writing requests carry an idempotency key, so that trying again does nothing twice. Needs httpx (extra `server`) and nothing else of faceworks.
"""

from __future__ import annotations

import math
import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from json import dumps
from typing import Any, BinaryIO

import numpy as np

from . import errors
from .errors import ServiceError
from .optional import require
from .types import Categorical, Embedding, Face, FaceResult, Identification, Landmarks, Match, Scalar, Verification

__all__ = ["Client"]

Source = str | os.PathLike[str] | bytes | BinaryIO
KINDS: Mapping[str, type[errors.FaceworksError]] = {
    "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).strip("-"): getattr(errors, name) for name in errors.__all__
}
"""Last part of a problem's type -> the error that the service had."""


class Client:
    """A connection to a service. A context manager; safe to share between threads.

    Args:
        url: where the service is. key: an API key, or None where it needs none.
        timeout: seconds for one request. patience: seconds spent on trying again while the service is busy.
        transport: an httpx transport, for tests and proxies.
    """

    def __init__(
        self, url: str = "http://127.0.0.1:8000", key: str | None = None, *, timeout: float = 60.0, patience: float = 30.0, transport: Any = None
    ) -> None:
        self._httpx = require("httpx", "server", "the client")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # no redirect is followed: the key would go where the redirect leads
        self._http = self._httpx.Client(base_url=url, headers=headers, timeout=timeout, transport=transport, follow_redirects=False)
        self._patience = patience

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # --- pictures ---

    def verify(self, a: Source, b: Source, **options: Any) -> Verification:
        """Whether two pictures show the same person; options as the form of /verify (threshold, fmr, metric, review, prior, …).

        Raises:
            ImageError, NoFaceFound, InputError, ConfigError, ServiceError.
        """
        found = self._ask("POST", "/v1/verify", files=[("a", _part(a)), ("b", _part(b))], fields=options).json()
        return Verification(**{**found, "faces": (_face(found["faces"][0]), _face(found["faces"][1]))})

    def detect(self, source: Source, **options: Any) -> list[Face]:
        """The faces of a picture, best score first."""
        return [_face(item) for item in self._picture("/v1/detect", source, options)["faces"]]

    def embed(self, source: Source, **options: Any) -> list[FaceResult]:
        """The faces of a picture with their vectors."""
        rows = self._picture("/v1/embed", source, options)["faces"]
        return [
            FaceResult(_face(item), Embedding(np.array(item["embedding"]["vector"]), item["embedding"]["norm"], item["embedding"]["model"]))
            for item in rows
        ]

    def analyze(self, source: Source, attributes: tuple[str, ...] | None = None, **options: Any) -> list[FaceResult]:
        """The faces of a picture with what they show."""
        fields = {**options, **({"attributes": ",".join(attributes)} if attributes else {})}
        rows = self._picture("/v1/analyze", source, fields)["faces"]
        return [FaceResult(_face(item), None, {name: _attribute(value) for name, value in item["attributes"].items()}) for item in rows]

    def models(self) -> list[dict[str, Any]]:
        """The service's catalog."""
        found: list[dict[str, Any]] = self._ask("GET", "/v1/models").json()["items"]
        return found

    # --- galleries ---

    def galleries(self) -> list[dict[str, Any]]:
        """All galleries with counts."""
        return list(self._pages("/v1/galleries"))

    def gallery(self, name: str) -> dict[str, Any]:
        """One gallery with counts and model."""
        return self._document("GET", f"/v1/galleries/{_quoted(name)}")

    def create_gallery(self, name: str) -> dict[str, Any]:
        """Make a gallery."""
        return self._document("POST", "/v1/galleries", json={"name": name})

    def delete_gallery(self, name: str) -> None:
        """Delete a gallery and everybody in it for good."""
        self._ask("DELETE", f"/v1/galleries/{_quoted(name)}")

    def people(self, gallery: str, q: str | None = None) -> Iterator[dict[str, Any]]:
        """Everybody, by name; further pages are fetched as they are needed."""
        return self._pages(f"/v1/galleries/{_quoted(gallery)}/people", {"q": q} if q else {})

    def person(self, gallery: str, person: str) -> dict[str, Any]:
        """One person (id or name) with all samples."""
        return self._document("GET", self._place(gallery, person))

    def enroll(self, gallery: str, name: str, *sources: Source, **options: Any) -> dict[str, Any]:
        """Enroll pictures of one person: {"person", "pictures"}; options: id, metadata (a mapping), consent, expires, min_quality, keep_duplicates."""
        files = [("pictures", _part(source)) for source in sources]
        return self._document("POST", f"/v1/galleries/{_quoted(gallery)}/people", files=files, fields={"name": name, **options})

    def identify(self, gallery: str, source: Source, **options: Any) -> list[Identification]:
        """Who the faces of a picture are; options: k, threshold, fpir, template, exact."""
        rows = self._picture(f"/v1/galleries/{_quoted(gallery)}/identify", source, options)["faces"]
        return [
            Identification(**{**item, "face": _face(item["face"]), "candidates": tuple(Match(**match) for match in item["candidates"])})
            for item in rows
        ]

    def rename(self, gallery: str, person: str, name: str) -> dict[str, Any]:
        """Give a person another name."""
        return self._document("PATCH", self._place(gallery, person), json={"name": name})

    def describe(self, gallery: str, person: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Give a person other metadata."""
        return self._document("PATCH", self._place(gallery, person), json={"metadata": dict(metadata)})

    def merge(self, gallery: str, person: str, other: str) -> dict[str, Any]:
        """Two entries are one person: give all samples of `other` to `person`."""
        return self._document("POST", f"{self._place(gallery, person)}/merge", json={"other": other})

    def add_samples(self, gallery: str, person: str, *sources: Source, **options: Any) -> dict[str, Any]:
        """Further pictures of somebody who is here; options as of `enroll`, but for name, id and metadata."""
        files = [("pictures", _part(source)) for source in sources]
        return self._document("POST", f"{self._place(gallery, person)}/samples", files=files, fields=options)

    def remove_sample(self, gallery: str, person: str, sample: str | int) -> int:
        """Remove one sample (`restore` undoes it for 15 minutes)."""
        return int(self._document("DELETE", f"{self._place(gallery, person)}/samples/{_quoted(str(sample))}")["removed"])

    def remove(self, gallery: str, person: str, *, forget: bool = False) -> int:
        """Remove a person (`restore` undoes it for 15 minutes; with `forget` never); how many samples went."""
        return int(self._document("DELETE", self._place(gallery, person), query={"forget": "true"} if forget else {})["removed"])

    def restore(self, gallery: str, person: str) -> dict[str, Any]:
        """Undo a removal."""
        return self._document("POST", f"{self._place(gallery, person)}/restore")

    def audit(self, gallery: str) -> Iterator[dict[str, Any]]:
        """The gallery's log, newest first."""
        return self._pages(f"/v1/galleries/{_quoted(gallery)}/audit")

    # --- jobs ---

    def evaluate(
        self, kind: str, source: Source, *, dataset: str = "", progress: Callable[[dict[str, Any]], None] | None = None, **options: Any
    ) -> dict[str, Any]:
        """Measure error rates: upload, wait, return the report. `progress` is called with the job whenever it has changed.

        Raises:
            ServiceError: the job failed or was canceled; `problem` says why.
        """
        job = self._document("POST", "/v1/evaluations", files=[("file", _part(source))], fields={"kind": kind, "dataset": dataset, **options})
        self.wait(job, progress)
        report: dict[str, Any] = self._document("GET", f"/v1/evaluations/{job['id']}")["report"]
        return report

    def study(
        self, source: Source, *, name: str = "", language: str = "en", progress: Callable[[dict[str, Any]], None] | None = None
    ) -> dict[str, Any]:
        """Run a study of a zip (pictures and manifest.csv): upload, wait, return {"job", "files"}; `study_file` reads one of the files.

        Raises:
            ServiceError: the job failed or was canceled.
        """
        job = self._document("POST", "/v1/studies", files=[("file", _part(source))], fields={"name": name, "language": language})
        self.wait(job, progress)
        return self._document("GET", f"/v1/studies/{job['id']}")

    def add_ratings(self, study: str, source: Source) -> None:
        """Bring ratings (CSV or JSON of the rating page) into a study, by its job's id; returns when its report was made again."""
        self.wait(self._document("POST", f"/v1/studies/{_quoted(study)}/ratings", files=[("file", _part(source))]))

    def study_file(self, study: str, name: str) -> bytes:
        """A file of a study: report.html, rating.html, run.json, tables/identity.csv, …"""
        return bytes(self._ask("GET", f"/v1/studies/{_quoted(study)}/{_quoted(name)}").content)

    def evaluation_file(self, id: str, name: str) -> bytes:
        """A file of an evaluation: report.json, report.html, scores.csv."""
        return bytes(self._ask("GET", f"/v1/evaluations/{_quoted(id)}/{_quoted(name)}").content)

    def wait(self, job: dict[str, Any], progress: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
        """Wait for a job's end and return it. `progress` is called with it whenever it has changed.

        Raises:
            ServiceError: it failed or was canceled; `problem` says why.
        """
        seen = None
        while job["state"] in ("queued", "running"):
            if progress is not None and job != seen:
                progress(job)
            seen = job
            time.sleep(0.3)
            job = self.job(job["id"])
        if job["state"] != "done":
            problem = job["problem"] or {}
            raise ServiceError(problem.get("detail", f"the job was {job['state']}"), int(problem.get("status", 0)), "job", problem)
        return job

    def jobs(self) -> Iterator[dict[str, Any]]:
        """All jobs, newest first."""
        return self._pages("/v1/jobs")

    def job(self, id: str) -> dict[str, Any]:
        """One job."""
        return self._document("GET", f"/v1/jobs/{_quoted(id)}")

    def cancel(self, id: str) -> dict[str, Any]:
        """Stop a job."""
        return self._document("POST", f"/v1/jobs/{_quoted(id)}/cancel")

    def delete_job(self, id: str) -> None:
        """Forget a job that has ended, with its files."""
        self._ask("DELETE", f"/v1/jobs/{_quoted(id)}")

    def service_audit(self) -> Iterator[dict[str, Any]]:
        """Who did what to the service, newest first."""
        return self._pages("/v1/audit")

    # --- how it is asked ---

    @staticmethod
    def _place(gallery: str, person: str) -> str:
        return f"/v1/galleries/{_quoted(gallery)}/people/{_quoted(person)}"

    def _picture(self, path: str, source: Source, fields: Mapping[str, Any]) -> Any:
        return self._ask("POST", path, files=[("pictures", _part(source))], fields=fields).json()["results"][0]

    def _document(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        found: dict[str, Any] = self._ask(method, path, **options).json()
        return found

    def _pages(self, path: str, query: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
        cursor: str | None = None
        while True:
            page = self._ask("GET", path, query={**(query or {}), **({"cursor": cursor} if cursor else {})}).json()
            yield from page["items"]
            cursor = page["next"]
            if cursor is None:
                return

    def _ask(self, method: str, path: str, *, files: Any = None, fields: Mapping[str, Any] | None = None, json: Any = None,
             query: Mapping[str, str] | None = None) -> Any:  # fmt: skip
        headers = {} if method == "GET" else {"Idempotency-Key": secrets.token_hex(16)}
        data = {name: _text(value) for name, value in (fields or {}).items() if value is not None}
        end, pause = time.monotonic() + self._patience, 0.5
        while True:
            try:
                answer = self._http.request(method, path, files=files, data=data or None, json=json, params=query, headers=headers)
            except self._httpx.TransportError as error:
                # with its idempotency key a request that may have arrived can be sent again
                if time.monotonic() + pause > end:
                    raise ServiceError(
                        f"the service at {self._http.base_url} cannot be reached: {error}; is it running (faceworks serve), and is the address right?"
                    ) from error
                time.sleep(pause)
                pause = min(2 * pause, 8.0)
                continue
            if answer.is_success:
                return answer
            seconds = answer.headers.get("Retry-After", "")
            wait = float(seconds) if seconds.isdigit() else None
            if answer.status_code not in (409, 429, 503) or wait is None or time.monotonic() + wait > end:
                raise _error(answer)
            time.sleep(wait)


def _error(answer: Any) -> errors.FaceworksError:
    """The error that the service had, where it is one of the library's; else a `ServiceError`."""
    try:
        problem = answer.json()
        kind, detail = str(problem["type"]).rpartition(":")[2], str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        return ServiceError(f"the service answered {answer.status_code}", answer.status_code)
    known = KINDS.get(kind)
    if known is not None and answer.status_code < 500:
        error = known(detail)
        error.add_note(f"request {problem.get('request_id', '')}")
        return error
    return ServiceError(f"{detail} ({answer.status_code}, request {problem.get('request_id', '')})", answer.status_code, kind, problem)


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def _part(source: Source) -> tuple[str, bytes]:
    """Name and bytes of a picture, read whole: the request may have to be sent again."""
    if isinstance(source, bytes):
        return "picture", source
    if isinstance(source, (str, os.PathLike)):
        try:
            with open(source, "rb") as file:
                return os.path.basename(os.fspath(source)) or "picture", file.read()
        except OSError as error:
            raise errors.InputError(f"cannot read {os.fspath(source)}: {error.strerror or error}") from error
    return os.path.basename(str(getattr(source, "name", ""))) or "picture", source.read()


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return dumps(value)
    return ",".join(map(str, value)) if isinstance(value, (tuple, list)) else str(value)


def _face(plain: Mapping[str, Any]) -> Face:
    points = plain["landmarks"]
    landmarks = None if points is None else Landmarks(np.array(points), plain.get("scheme") or "arcface5")
    return Face(np.array(plain["box"]), plain["score"], landmarks, plain["detector"], plain.get("found_by") or "")


def _attribute(plain: Mapping[str, Any]) -> Categorical | Scalar:
    if "probabilities" in plain:
        return Categorical(plain["label"], plain["probabilities"], plain.get("model") or "")
    known = {name: plain[name] for name in ("value", "unit", "spread", "model") if plain.get(name) is not None}
    low, high = plain["range"]  # null: without an end
    ends = (-math.inf if low is None else low, math.inf if high is None else high)
    return Scalar(**{**known, "range": ends, **({"reasons": tuple(plain["reasons"])} if plain.get("reasons") else {})})
