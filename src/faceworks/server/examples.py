"""Examples of the OpenAPI document: of each body that is sent, each answer and each parameter. Tests hold them to the schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["ANSWERS", "PARAMETERS", "REQUESTS", "TEXTS"]

DETECTOR, EMBEDDER = "yunet-2023mar-int8bq", "sface-2021dec-int8bq"
MODELS = {"detector": f"{DETECTOR}@3f8c", "embedder": f"{EMBEDDER}@9d11", "recipe": "62ae4fd6337c05c9"}
POINTS = [[52.0, 78.4], [97.1, 77.9], [74.8, 104.2], [57.3, 122.5], [93.0, 121.8]]
FACE = {"box": [25.1, 30.0, 120.5, 150.2], "score": 0.94, "landmarks": POINTS, "detector": DETECTOR}
PERSON = {
    "id": "7c1f4a0be2",
    "name": "Ada Lovelace",
    "metadata": {"team": "engines"},
    "created": "2026-03-01T09:30:00Z",
    "samples": 2,
    "quality": 91.0,
}
SAMPLE = {
    "id": "1152921504606846977",
    "quality": 91.0,
    "norm": 11.8,
    "box": FACE["box"],
    "time": "2026-03-01T09:30:00Z",
    "consent": "form 12",
    "expires": None,
}
GALLERY = {
    "name": "staff",
    "people": 12,
    "samples": 31,
    "model": f"{EMBEDDER}@9d11",
    "recipe": "62ae4fd6337c05c9",
    "encrypted": False,
    "audited": True,
}
ENROLLED = {"source": "ada1.jpg", "sample": SAMPLE["id"], "quality": 91.0, "warnings": []}
JOB = {"id": "6a0f3c1d5e7b9a2c4d6e", "kind": "evaluation", "state": "running", "parameters": {"kind": "pairs", "dataset": "LFW, fold 1", "file": "lfw1.zip"},
       "done": 240, "total": 600, "note": "pictures", "problem": None, "created": "2026-03-01T09:30:00Z", "started": "2026-03-01T09:30:01Z",
       "finished": None}  # fmt: skip
DONE = {**JOB, "state": "done", "done": 600, "finished": "2026-03-01T09:32:40Z"}
STUDY = {**DONE, "kind": "study", "parameters": {"name": "edits of five emotions", "file": "study.zip"}, "done": 48, "total": 48}
REPORT = {"kind": "verification", "counts": {"pairs": 600, "genuine": 300, "impostor": 300}, "auc": 0.998, "eer": 0.007,
          "intervals": {"auc": [0.996, 0.999], "eer": [0.003, 0.014]}}  # fmt: skip
LINE = {"n": 7, "time": "2026-03-01T09:30:00Z", "actor": "a1b2c3d4e5f6", "action": "enroll"}

ANSWERS: Mapping[str, Any] = {
    "VerifyOut": {"verified": True, "similarity": 0.711, "distance": 0.289, "metric": "cosine", "threshold": 0.637, "threshold_source": "OpenCV zoo, LFW",
                  "probability": 0.9998, "fmr": 2.1e-06, "models": MODELS, "faces": [FACE, FACE],
                  "timings": {"load": 0.004, "detect": 0.012, "embed": 0.022}},
    "DetectOut": {"results": [{"source": "party.jpg", "faces": [FACE]}], "models": {"detector": MODELS["detector"]}},
    "EmbedOut": {"results": [{"source": "ada1.jpg", "faces": [{**FACE, "embedding": {"vector": [0.43, -1.02, 0.07], "norm": 11.8, "model": EMBEDDER}}]}],
                 "models": MODELS, "recipe": "62ae4fd6337c05c9"},
    "AnalyzeOut": {"results": [{"source": "ada1.jpg", "faces": [{**FACE, "attributes": {
        "emotion": {"label": "happy", "probabilities": {"happy": 0.9, "neutral": 0.1}, "entropy": 0.33, "model": "emotion-pool"},
        "age": {"value": 36.0, "unit": "years", "range": [0.0, 100.0], "spread": 6.2, "model": "age-vit"}}}]}],
        "models": {"detector": MODELS["detector"], "emotion": "emotion-pool", "age": "age-vit"}},
    "GalleryOut": GALLERY,
    "GalleriesOut": {"items": [GALLERY], "next": None},
    "IdentifyOut": {"results": [{"source": "party.jpg", "faces": [{"face": FACE, "person": "Ada Lovelace", "person_id": PERSON["id"], "candidates": [
        {"person": "Ada Lovelace", "person_id": PERSON["id"], "similarity": 0.68, "sample": SAMPLE["id"], "probability": 0.9991}],
        "threshold": 0.363, "threshold_source": "OpenCV zoo, LFW"}]}], "models": MODELS},
    "AuditOut": {"items": [{**LINE, "tokens": ["f3a1"], "count": 2, "people": ["Ada Lovelace"]}], "next": "Wy02XQ", "valid": True},
    "PeopleOut": {"items": [PERSON], "next": None},
    "PersonOut": PERSON,
    "PersonDetailOut": {**{name: PERSON[name] for name in ("id", "name", "metadata", "created")}, "samples": [SAMPLE]},
    "EnrollOut": {"person": PERSON, "pictures": [ENROLLED]},
    "RemovedOut": {"removed": 2, "undo_seconds": 900},
    "JobOut": JOB,
    "JobsOut": {"items": [JOB], "next": None},
    "EvaluationOut": {"job": DONE, "report": REPORT, "files": ["report.json", "report.html", "scores.csv"]},
    "StudyOut": {"job": STUDY, "files": ["rating.html", "report.html", "run.json", "tables/identity.csv"]},
    "HealthOut": {"status": "ok"},
    "ReadyOut": {"status": "ready", "detail": ""},
    "ModelsOut": {"items": [{"name": EMBEDDER, "task": "embed", "summary": "SFace, 8-bit", "reliability": "measured", "status": "ready", "default": True,
                             "served": True, "license": {"code": "Apache-2.0", "weights": "Apache-2.0", "commercial_use": True, "note": ""},
                             "paper": "https://arxiv.org/abs/2205.12010"}]},
    "SessionOut": {"name": "lab", "role": "enroll", "csrf": "9f2c7e", "keyless": False, "version": "0.1.0"},
    "EventsOut": {"items": [{**LINE, "name": "lab", "action": "create gallery", "target": "staff", "request": "0f1e2d3c4b5a6978"}], "next": None},
    "ProblemOut": {"type": "urn:faceworks:problem:no-face-found", "title": "Cannot be processed", "status": 422, "detail": "no face was found in the second picture",
                   "instance": "/v1/verify", "request_id": "0f1e2d3c4b5a6978"},
}  # fmt: skip
"""By the name of the schema."""

FILE = "(the bytes of a file)"
REQUESTS: Mapping[str, Any] = {
    "POST /v1/verify": {"a": FILE, "b": FILE, "fmr": 0.001},
    "POST /v1/detect": {"pictures": [FILE], "min_score": 0.7},
    "POST /v1/embed": {"pictures": [FILE], "select": "largest"},
    "POST /v1/analyze": {"pictures": [FILE], "attributes": "emotion,age"},
    "POST /v1/galleries": {"name": "staff"},
    "POST /v1/galleries/{name}/identify": {"pictures": [FILE], "k": 3},
    "POST /v1/galleries/{name}/people": {"pictures": [FILE, FILE], "name": "Ada Lovelace", "consent": "form 12", "expires": "2027-01-31"},
    "PATCH /v1/galleries/{name}/people/{person}": {"name": "Ada King", "metadata": {"team": "engines"}},
    "POST /v1/galleries/{name}/people/{person}/merge": {"other": "A. Lovelace"},
    "POST /v1/galleries/{name}/people/{person}/samples": {"pictures": [FILE], "consent": "form 12"},
    "POST /v1/evaluations": {"file": FILE, "kind": "pairs", "dataset": "LFW, fold 1"},
    "POST /v1/studies": {"file": FILE, "name": "edits of five emotions", "language": "en"},
    "POST /v1/studies/{id}/ratings": {"file": FILE},
    "POST /v1/session": {"key": "fw_a1b2c3d4e5f6_…"},
}
"""By method and path. A file stands as text: JSON has no bytes."""

TEXTS: Mapping[str, str] = {
    "text/event-stream": 'id: 4\nevent: job\ndata: {"id": "6a0f3c1d5e7b9a2c4d6e", "state": "running", "done": 240, "total": 600}\n\n',
    "text/plain": 'faceworks_requests_total{method="POST",route="/v1/verify",status="200"} 12.0\n',
}
"""Answers that are no JSON, by content type."""

PARAMETERS: Mapping[str, Any] = {
    "name": "staff", "person": PERSON["id"], "sample": SAMPLE["id"], "id": JOB["id"], "limit": 50, "cursor": "Wy02XQ", "q": "ada", "forget": False,
}  # fmt: skip
"""By name."""
