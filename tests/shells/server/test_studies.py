"""/v1/studies: names stay inside the archive, the report and the rating page come under their policies, ratings make the report anew."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from faceworks.errors import InputError
from faceworks.server import ServerOptions, jobs, schemas
from faceworks.server.studying import confine

from .conftest import Client, running
from .test_jobs import wait, zipped

HEAD = "identity,picture,role,condition\n"


def send(client: Client, archive: bytes, **fields: str) -> Any:
    return client.post("/v1/studies", files={"file": ("study.zip", archive)}, data=fields)


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "..\\x.jpg", "C:\\x.jpg", "a/../../x.jpg", '"/etc/passwd"', " /etc/passwd", "\\\\host\\x"]
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_names_stay_inside_the_archive(tmp_path: Path, name: str, delimiter: str) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text((HEAD + f"1,a.jpg,source,neutral\n1,{name},edit,happy\n").replace(",", delimiter))
    with pytest.raises(InputError, match="line 3"):
        confine(manifest, tmp_path)


def test_plain_names_pass(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(HEAD + '1,사람/a..b.jpg,source,neutral\n1,b.jpg,edit,"a prompt ... with dots, and/or slashes"\n')
    confine(manifest, tmp_path)


def test_a_manifest_that_leads_outside_fails_the_job(client: Client) -> None:
    begun = send(client, zipped({"manifest.csv": (HEAD + "1,/etc/passwd,source,neutral\n").encode()}), name="evil")
    assert begun.status_code == 202, begun.text
    failed = wait(client, begun.json()["id"])
    assert failed["state"] == "failed"
    assert "inside the archive" in failed["problem"]["detail"]
    assert "root:" not in str(failed)
    assert client.post(f"/v1/studies/{failed['id']}/ratings", files={"file": ("r.csv", b"x")}).status_code == 409
    assert schemas.StudyOut.model_validate_json(client.get(f"/v1/studies/{failed['id']}").text).files == []


def test_files_come_with_their_policies(client: Client) -> None:
    state = client.state
    id = jobs.create(state.store, jobs.new_id(), "study", "local", {"name": "x"}).id
    jobs.claim(state.store, time.time())
    jobs.finish(state.store, id)
    out = state.folder(id) / "out"
    (out / "tables").mkdir(parents=True)
    for name in ("report.html", "rating.html", "run.json", "tables/identity.csv", "secret.h5"):
        (out / name).write_text("<p>x</p>")
    (state.folder(id) / "upload").write_text("x")
    found = schemas.StudyOut.model_validate_json(client.get(f"/v1/studies/{id}").text)
    assert set(found.files) == {"report.html", "rating.html", "run.json", "tables/identity.csv"}
    report, rating = (client.get(f"/v1/studies/{id}/{name}") for name in ("report.html", "rating.html"))
    assert "script-src" not in report.headers["content-security-policy"]
    assert "sandbox" in report.headers["content-security-policy"]
    assert "sandbox allow-scripts allow-downloads" in rating.headers["content-security-policy"]
    assert "allow-same-origin" not in rating.headers["content-security-policy"]
    assert "connect-src" not in rating.headers["content-security-policy"], "default-src 'none' lets it reach nobody"
    assert client.get(f"/v1/studies/{id}/tables/identity.csv").headers["content-type"].startswith("text/csv")
    for name in ("secret.h5", "..%2fupload", "tables", "/etc/passwd", "%2fetc%2fpasswd"):
        assert client.get(f"/v1/studies/{id}/{name}").status_code == 404, name
    assert client.get(f"/v1/studies/{id}/../upload").status_code == 422  # the client sends /v1/studies/upload, which is no id


@pytest.mark.slow
@pytest.mark.assets
def test_a_study_from_zip_to_report(samples: Mapping[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("statsmodels", reason="the extra study")
    pytest.importorskip("docx", reason="the extra study")
    pictures = {f"{who}_{condition}.jpg": samples[name].read_bytes() for who, condition, name in (
        ("1", "neutral", "person_a_1"), ("1", "happy", "person_a_2"), ("2", "neutral", "person_b_1"), ("2", "happy", "person_b_2"))}  # fmt: skip
    rows = "".join(
        f"{who},{who}_{condition}.jpg,{'source' if condition == 'neutral' else 'edit'},{condition}\n"
        for who in "12"
        for condition in ("neutral", "happy")
    )
    archive = zipped({**pictures, "manifest.csv": (HEAD + rows).encode()})
    with running(ServerOptions(data=tmp_path / "d", batch=1, attributes=())) as client:
        begun = send(client, archive, name="four", language="ko")
        done = wait(client, begun.json()["id"], seconds=400)
        assert done["state"] == "done", done
        found = client.get(f"/v1/studies/{done['id']}").json()
        assert {"report.html", "rating.html", "run.json"} <= set(found["files"])
        assert str(tmp_path) not in client.get(f"/v1/studies/{done['id']}/report.html").text
