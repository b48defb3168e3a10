"""/v1/verify, /detect, /embed, /models: the same values as the library's, in the documented form."""

from __future__ import annotations

import json
from typing import Any

import pytest

import faceworks
from faceworks import api
from faceworks.pipeline import PipelineSpec
from faceworks.server import schemas
from faceworks.types import to_dict

from .conftest import BLACK, BLUE, CRIMSON, RED, Client, pair


def plain(value: Any) -> Any:
    """As JSON makes it."""
    return json.loads(json.dumps(to_dict(value)))


def test_verify_answers_what_the_library_answers(client: Client) -> None:
    found = client.post("/v1/verify", files=pair())
    assert found.status_code == 200
    answer = schemas.VerifyOut.model_validate_json(found.text)
    expected = plain(api.verify(RED, CRIMSON, PipelineSpec(threads=1)))
    got = found.json()
    assert {**got, "timings": 0} == {**expected, "timings": 0}
    assert answer.verified is True
    assert client.post("/v1/verify", files=pair(RED, BLUE)).json()["verified"] is False


def test_options_decide(client: Client) -> None:
    strict = client.post("/v1/verify", files=pair(), data={"threshold": "0", "metric": "angular", "review": "2", "prior": "0.1"})
    assert strict.json()["verified"] is None
    assert strict.json()["metric"] == "angular"
    for wrong in ({"threshold": "-1"}, {"fmr": "0"}, {"prior": "1"}, {"metric": "l7"}, {"threshold": "nan"}, {"color": "red"}, {"crops": "3"}):
        found = client.post("/v1/verify", files=pair(), data=wrong)
        assert found.status_code == 422, wrong
        assert next(iter(wrong)) in found.json()["detail"]


def test_a_model_that_is_not_served_is_not_fetched(client: Client) -> None:
    found = client.post("/v1/verify", files=pair(), data={"embedder": "adaface-ir101"})
    assert found.status_code == 422
    assert found.json()["type"].endswith("model-not-served")
    assert found.json()["detail"].endswith("served: sface-2021dec-int8bq"), "of the embedders, not the detector too"


def test_detect_answers_each_picture(client: Client) -> None:
    found = client.post("/v1/detect", files=[("pictures", ("one.png", RED)), ("pictures", ("none.png", BLACK)), ("pictures", ("bad.png", b"no"))])
    answer = schemas.DetectOut.model_validate_json(found.text)
    assert [(item.source, len(item.faces), item.error is not None) for item in answer.results] == [
        ("one.png", 1, False), ("none.png", 0, False), ("bad.png", 0, True),
    ]  # fmt: skip
    assert found.json()["results"][0]["faces"] == plain(faceworks.detect(RED))
    alone = client.post("/v1/detect", files={"pictures": ("bad.png", b"no")})
    assert alone.status_code == 422


def test_embed_gives_vectors_and_their_recipe(client: Client) -> None:
    found = client.post("/v1/embed", files={"pictures": ("얼굴.png", RED)})
    answer = schemas.EmbedOut.model_validate_json(found.text)
    expected = faceworks.embed(RED, select="all", on_no_face="empty")[0]
    assert answer.results[0].source == "얼굴.png"
    assert answer.results[0].faces[0].embedding.vector == plain(expected.embedding)["vector"]
    assert answer.recipe == api.get_pipeline().recipe_id


def test_analyze_fetches_nothing_for_a_request(client: Client) -> None:
    """The models are not here and the service is offline: not served, not a download; for one picture as for several."""
    for pictures in ([("pictures", ("a.png", RED))], [("pictures", ("a.png", RED)), ("pictures", ("b.png", RED))]):
        found = client.post("/v1/analyze", files=pictures, data={"attributes": "emotion"})
        assert (found.status_code, found.json()["type"]) == (422, "urn:faceworks:problem:model-not-served"), found.text
        assert "emotion is not on this machine" in found.json()["detail"]
    wrong = client.post("/v1/analyze", files={"pictures": ("a.png", RED)}, data={"attributes": "wealth"})
    assert wrong.status_code == 422
    assert client.post("/v1/analyze", files={"pictures": ("a.png", RED)}, data={"models": "emotion=emonet-8"}).json()["type"].endswith("not-served")
    measured = client.post("/v1/analyze", files={"pictures": ("a.png", RED)}, data={"attributes": "quality"})
    assert schemas.AnalyzeOut.model_validate_json(measured.text).results[0].faces[0].attributes["quality"]


def test_a_crowd_is_refused(fake_networks: None, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from faceworks.server import ServerOptions

    from ..conftest import FakeDetector
    from .conftest import running

    once = FakeDetector.detect
    monkeypatch.setattr(FakeDetector, "detect", lambda self, images: [group * 4 for group in once(self, images)])
    with running(ServerOptions(data=tmp_path / "data", max_faces=3)) as client:
        for path in ("detect", "embed", "analyze"):
            fields = {"attributes": "quality"} if path == "analyze" else {}
            found = client.post(f"/v1/{path}", files={"pictures": ("a.png", RED)}, data=fields)
            assert found.status_code == 422, path
            assert "4 faces" in found.json()["detail"]


def test_no_face_is_said(client: Client) -> None:
    found = client.post("/v1/verify", files=pair(RED, BLACK))
    assert (found.status_code, found.json()["type"]) == (422, "urn:faceworks:problem:no-face-found")


def test_models_say_their_license(client: Client) -> None:
    answer = schemas.ModelsOut.model_validate_json(client.get("/v1/models").text)
    served = {item.name for item in answer.items if item.served}
    assert served == {PipelineSpec().detector, PipelineSpec().embedder}
    assert all(item.license.weights for item in answer.items)


def test_health_ready_metrics(client: Client) -> None:
    assert client.get("/v1/health").json() == {"status": "ok"}
    assert schemas.ReadyOut.model_validate_json(client.get("/v1/ready").text).status == "ready"
    client.post("/v1/verify", files=pair())
    text = client.get("/v1/metrics").text
    assert 'faceworks_requests_total{method="POST",route="/v1/verify",status="200"} 1.0' in text
    client.state.draining = True
    assert client.get("/v1/ready").status_code == 503
    assert client.post("/v1/verify", files=pair()).headers["retry-after"]
    client.state.draining = False


def test_wrong_paths_and_methods(client: Client) -> None:
    assert client.get("/v1/nothing").status_code == 404
    wrong = client.get("/v1/verify")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")


@pytest.mark.assets
def test_real_pictures_give_the_same_numbers(samples: Any, tmp_path: Any) -> None:
    from faceworks.server import ServerOptions

    from .conftest import running

    a, b = samples["person_a_1"].read_bytes(), samples["person_a_2"].read_bytes()
    with running(ServerOptions(data=tmp_path / "data", attributes=("emotion", "quality"))) as client:
        assert client.state.gain is not None
        got = client.post("/v1/verify", files=pair(a, b)).json()
        shown = client.post("/v1/analyze", files={"pictures": ("a.jpg", a)})
    assert shown.status_code == 200, shown.text
    face = schemas.AnalyzeOut.model_validate_json(shown.text).results[0].faces[0]
    assert set(face.attributes) == {"emotion", "quality"}
    assert shown.json()["results"][0]["faces"][0]["attributes"] == plain(faceworks.analyze(a, ("emotion", "quality"), threads=1)[0].attributes)
    assert {**got, "timings": 0} == {**plain(api.verify(a, b, threads=1)), "timings": 0}
    assert got["verified"] is True
