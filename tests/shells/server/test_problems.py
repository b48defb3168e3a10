"""Every error of the tree has a status, says what it says without paths of the machine, and is a problem document."""

from __future__ import annotations

import json

import pytest

from faceworks import errors
from faceworks.server.problems import PRIVATE, Problem, answer, problem_of, status_of

from .conftest import RED, Client, pair

EXPECTED = {
    "FaceworksError": 500, "InputError": 422, "ImageError": 422, "NoFaceFound": 422, "ManifestError": 422, "ModelError": 500, "UnknownModel": 422,
    "CardError": 500, "AssetUnavailable": 503, "ChecksumMismatch": 500, "ConversionError": 500, "ModelMismatch": 409, "LicenseRefused": 422,
    "DeviceUnavailable": 500, "GalleryError": 500, "GalleryUnavailable": 503, "GalleryLocked": 503, "Outdated": 503, "GalleryCorrupt": 500, "DuplicateEntry": 409,
    "UnknownPerson": 404, "ServiceError": 500, "MissingDependency": 501, "ConfigError": 422,
}  # fmt: skip


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_has_its_status(name: str) -> None:
    """A new error fails here until somebody has decided what the service answers."""
    assert name in EXPECTED, f"{name} is new: decide its status"
    error = getattr(errors, name)("secret /srv/path")
    problem = problem_of(error)
    assert (status_of(error), problem.status) == (EXPECTED[name],) * 2
    if problem.status >= 500 and problem.status != 501:
        assert "/srv/path" not in problem.detail
    if problem.status == 500:
        assert problem.detail == PRIVATE
    assert ("Retry-After" in problem.headers) == (problem.status == 503)


def test_the_table_names_no_error_that_is_gone() -> None:
    assert set(EXPECTED) == set(errors.__all__)


def test_a_problem_is_a_document() -> None:
    found = answer(problem_of(errors.ManifestError("no such file", 3, "path")), "abc", "/v1/studies")
    assert found.media_type == "application/problem+json"
    document = json.loads(found.body)
    assert document["type"] == "urn:faceworks:problem:manifest-error"
    assert (document["status"], document["line"], document["column"]) == (422, 3, "path")
    assert (document["instance"], document["request_id"]) == ("/v1/studies", "abc")


@pytest.mark.parametrize("kind", [RuntimeError, MemoryError, KeyError, errors.CardError])
def test_what_nobody_foresaw_is_a_500_without_its_message(client: Client, kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise kind("the password is in /srv/secret")

    monkeypatch.setattr("faceworks.api.verify", broken)
    found = client.post("/v1/verify", files=pair())
    assert found.status_code == 500
    assert found.headers["content-type"] == "application/problem+json"
    assert "srv" not in found.text
    assert found.headers["x-request-id"] == found.json()["request_id"]
    assert client.get("/v1/health").status_code == 200


def test_an_error_of_the_library_reaches_the_caller(client: Client) -> None:
    found = client.post("/v1/verify", files=pair(RED, b"GIF89a junk"))
    assert found.status_code == 422
    assert found.json()["type"] == "urn:faceworks:problem:image-error"
    with pytest.raises(Problem):
        raise Problem(418, "short and stout")
