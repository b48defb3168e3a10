"""Errors as answers: `application/problem+json` (RFC 9457), one status for each class of the error tree."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from starlette.responses import Response

from .. import errors

__all__ = ["PRIVATE", "STATUS", "TITLES", "Problem", "answer", "problem_of", "retry", "status_of", "unwritable"]

STATUS: Mapping[type[errors.FaceworksError], int] = {
    errors.FaceworksError: 500,
    errors.InputError: 422,
    errors.ModelError: 500,
    errors.UnknownModel: 422,
    errors.AssetUnavailable: 503,
    errors.ChecksumMismatch: 500,
    errors.ModelMismatch: 409,
    errors.LicenseRefused: 422,
    errors.GalleryError: 500,
    errors.GalleryUnavailable: 503,
    errors.GalleryLocked: 503,
    errors.DuplicateEntry: 409,
    errors.UnknownPerson: 404,
    errors.ServiceError: 500,
    errors.MissingDependency: 501,
    errors.ConfigError: 422,
}
"""A class that is not here has the status of its nearest base; `tests/shells/server/test_problems.py` lists what every leaf gets."""
PRIVATE = "something in the service failed; the operator finds it in the log under the request id"
"""What is said of a 500 instead of its message, which may name files of the machine."""
TITLES = {
    400: "Bad request", 401: "Key missing or unknown", 403: "Not allowed", 404: "Not found", 405: "Method not allowed", 406: "Not acceptable",
    408: "Request too slow", 409: "Conflict", 413: "Too large", 415: "Unsupported media type", 421: "Misdirected request", 422: "Cannot be processed",
    429: "Too many requests", 431: "Headers too large", 500: "Internal error", 501: "Not installed", 503: "Busy", 504: "Took too long",
}  # fmt: skip


class Problem(Exception):
    """An answer that is no success. `kind` is the last part of the problem's type; `extra` are further members of the document."""

    def __init__(self, status: int, detail: str, kind: str = "", headers: Mapping[str, str] | None = None, **extra: object) -> None:
        super().__init__(detail)
        self.status, self.detail, self.kind = status, detail, kind or f"http-{status}"
        self.headers, self.extra = dict(headers or {}), extra


def retry(seconds: float) -> dict[str, str]:
    """The header that says when to come back: whole seconds, at least one."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def unwritable() -> Problem:
    """The service's own file is locked by another worker for too long, or its disk is full: the operator's matter, and worth trying again."""
    return Problem(503, "the service cannot write its own records just now", "store-unavailable", retry(5))


def status_of(error: errors.FaceworksError) -> int:
    """The status of an error: that of the nearest class in `STATUS`."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem_of(error: errors.FaceworksError) -> Problem:
    """An error of the library as an answer. Its class is the type, in kebab case (`no-face-found`)."""
    status, name = status_of(error), type(error).__name__
    kind = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).strip("-")
    headers = retry(2) if status == 503 else {}
    hidden = status == 500 or isinstance(error, (errors.GalleryUnavailable, errors.GalleryLocked, errors.AssetUnavailable))
    detail = PRIVATE if status == 500 else str(error)
    if hidden and status == 503:
        detail = "another writer holds the gallery" if isinstance(error, errors.GalleryLocked) else "a gallery or a model cannot be reached just now"
    extra = {name: getattr(error, name) for name in ("line", "column") if getattr(error, name, None) is not None}
    return Problem(status, detail, kind, headers, **extra)


def answer(problem: Problem, request_id: str = "", instance: str = "") -> Response:
    """The problem as a response."""
    document = {
        "type": f"urn:faceworks:problem:{problem.kind}",
        "title": TITLES.get(problem.status, "Error"),
        "status": problem.status,
        "detail": problem.detail,
        **({"instance": instance} if instance else {}),
        **({"request_id": request_id} if request_id else {}),
        **problem.extra,
    }
    return Response(json.dumps(document, ensure_ascii=False), problem.status, problem.headers, "application/problem+json")
