"""`faceworks.client` against the service: the library's values and errors; waits, tries again, and does nothing twice."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from faceworks import api, errors
from faceworks.client import Client as Remote
from faceworks.errors import ImageError, InputError, NoFaceFound, ServiceError, UnknownPerson
from faceworks.pipeline import PipelineSpec
from faceworks.types import to_dict

from .conftest import BLACK, BLUE, CRIMSON, RED, Client, picture

SCORES = b"score,label\n" + b"".join(b"%.4f,%d\n" % (0.9 - 0.004 * i, i < 120 and i % 7 > 0) for i in range(200))


class Bridge(httpx.BaseTransport):
    """Requests of a synchronous client into the application's event loop."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        headers = [(name, value) for name, value in request.headers.raw if name.lower() != b"host"]
        found = self.client.request(request.method, request.url.raw_path.decode(), content=request.read(), headers=headers)
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)


@pytest.fixture
def remote(client: Client) -> Iterator[Remote]:
    with Remote("http://127.0.0.1:8000", transport=Bridge(client), patience=3) as found:
        yield found


def same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    assert json.loads(json.dumps(to_dict(a))) == json.loads(json.dumps(to_dict(b)))


def test_values_are_the_librarys(remote: Remote, tmp_path: Path) -> None:
    path = tmp_path / "빨강.png"
    path.write_bytes(RED)
    local = api.verify(RED, CRIMSON, PipelineSpec(threads=1))
    same(dataclasses.replace(remote.verify(path, CRIMSON), timings={}), dataclasses.replace(local, timings={}))
    for ours, theirs in ((remote.detect(RED), api.detect(RED)), (remote.embed(RED), api.embed(RED))):
        assert len(ours) == len(theirs) == 1
        same(ours[0], theirs[0])
    with path.open("rb") as file:
        measured = remote.analyze(file, ("quality",))
    same(measured[0], api.analyze(RED, ("quality",), threads=1)[0])
    assert np.asarray(remote.embed(RED)[0].embedding.vector).flags.writeable is False  # type: ignore[union-attr]
    assert any(item["served"] for item in remote.models())


def test_errors_are_the_librarys(remote: Remote, tmp_path: Path) -> None:
    with pytest.raises(NoFaceFound, match="no face"):
        remote.verify(RED, BLACK)
    with pytest.raises(ImageError):
        remote.verify(RED, b"junk")
    with pytest.raises(InputError, match="cannot read"):
        remote.verify(tmp_path / "none.jpg", RED)
    with pytest.raises(ServiceError) as refused:
        remote.verify(RED, RED, embedder="adaface-ir101")
    assert (refused.value.status, refused.value.kind) == (422, "model-not-served")
    remote.create_gallery("staff")
    with pytest.raises(errors.DuplicateEntry):
        remote.create_gallery("staff")
    with pytest.raises(UnknownPerson):
        remote.person("staff", "nobody")


def test_galleries(remote: Remote) -> None:
    remote.create_gallery("staff")
    who = remote.enroll("staff", "Ada", RED, metadata={"team": "x"}, keep_duplicates=True)["person"]
    assert who["metadata"] == {"team": "x"}
    found = remote.identify("staff", CRIMSON, k=1)
    assert (found[0].person, found[0].person_id, found[0].candidates[0].person) == ("Ada", who["id"], "Ada")
    assert remote.identify("staff", BLUE)[0].person is None
    for index in range(5):
        remote.enroll("staff", f"p{index}", picture((30, 30 + 40 * index, 200)))
    assert [item["name"] for item in remote.people("staff")] == ["Ada", *(f"p{index}" for index in range(5))]
    assert remote.rename("staff", who["id"], "Ada L.")["name"] == "Ada L."
    assert remote.remove("staff", who["id"]) == 1
    assert remote.restore("staff", who["id"])["samples"] == 1
    assert remote.remove("staff", who["id"], forget=True) == 1
    assert next(remote.audit("staff"))["action"] == "forget"
    p0, p1 = (item["id"] for item in list(remote.people("staff"))[:2])
    assert remote.describe("staff", p0, {"team": "y"})["metadata"] == {"team": "y"}
    added = remote.add_samples("staff", p0, picture((30, 35, 190)), consent="form 12", keep_duplicates=True)
    assert added["person"]["samples"] == 2
    assert remote.remove_sample("staff", p0, added["pictures"][0]["sample"]) == 1
    assert remote.merge("staff", p0, p1)["samples"] == 2
    assert remote.gallery("staff")["people"] == 4
    remote.delete_gallery("staff")
    assert remote.galleries() == []
    assert [line["action"] for line in remote.service_audit()] == ["delete gallery", "create gallery"]


def test_an_evaluation_is_waited_for(remote: Remote) -> None:
    seen: list[str] = []
    report = remote.evaluate("scores", SCORES, dataset="made up", progress=lambda job: seen.append(job["state"]))
    assert 0.5 < report["auc"] <= 1
    assert seen
    job = next(remote.jobs())
    assert json.loads(remote.evaluation_file(job["id"], "report.json"))["auc"] == report["auc"]
    remote.delete_job(job["id"])
    assert list(remote.jobs()) == []
    with pytest.raises(ServiceError, match="line 2"):
        remote.evaluate("scores", b"score,label\n1,x\n")


def test_every_route_has_its_verb(client: Client) -> None:
    """What the API can do the client can, but for what is a supervisor's or the page's."""
    text = Path(errors.__file__).with_name("client.py").read_text(encoding="utf-8")
    for path in client.app.openapi()["paths"]:
        last = [part for part in path.split("/") if part and not part.startswith("{")][-1]
        assert f"/{last}" in text or last in ("health", "ready", "metrics", "session", "events"), path


def test_a_study_fails_with_its_reason(remote: Remote) -> None:
    with pytest.raises(ServiceError, match="zip"):
        remote.study(b"no zip", name="x")


def test_it_tries_again_while_the_service_is_busy_and_does_nothing_twice() -> None:
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        if len(calls) == 1:
            raise httpx.ConnectError("reset")
        if len(calls) == 2:
            return httpx.Response(503, headers={"Retry-After": "1"}, json={"type": "urn:faceworks:problem:busy", "detail": "busy"})
        return httpx.Response(201, json={"name": "staff"})

    with Remote("http://service", key="fw_x", transport=httpx.MockTransport(answer)) as remote:
        assert remote.create_gallery("staff") == {"name": "staff"}
    assert len(calls) == 3
    assert len({call.headers["idempotency-key"] for call in calls}) == 1
    assert {call.headers["authorization"] for call in calls} == {"Bearer fw_x"}
    broken = httpx.MockTransport(lambda _: httpx.Response(502, text="<html>"))
    with Remote("http://service", patience=0.1, transport=broken) as remote, pytest.raises(ServiceError, match="502"):
        remote.galleries()
    moved = httpx.MockTransport(lambda _: httpx.Response(307, headers={"Location": "http://evil.example/"}))
    with Remote("http://service", key="fw_x", patience=0.1, transport=moved) as remote, pytest.raises(ServiceError):
        remote.galleries()


def test_one_client_in_many_threads(remote: Remote) -> None:
    answers: list[bool | None] = []
    threads = [threading.Thread(target=lambda: answers.append(remote.verify(RED, CRIMSON).verified)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 6


def test_the_client_pulls_no_network() -> None:
    code = "import sys, faceworks.client; print([n for n in ('cv2', 'onnxruntime', 'onnx', 'h5py', 'fastapi', 'torch', 'PIL') if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": str(Path(errors.__file__).parents[1])}
    )
    assert done.stdout.strip() == "[]"
