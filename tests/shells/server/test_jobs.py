"""Jobs in processes of their own: progress, events, cancel, reports; archives that lead outside or burst."""

from __future__ import annotations

import errno
import io
import json
import multiprocessing
import stat
import struct
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from faceworks.errors import InputError
from faceworks.evaluate import evaluate_scores
from faceworks.server import ServerOptions, jobs, schemas
from faceworks.server.archive import unpack
from faceworks.server.store import Store
from faceworks.types import to_dict

from .conftest import Client, running

SCORES = "score,label\n" + "".join(f"{0.9 - 0.004 * i:.4f},{int(i < 120 and i % 7 > 0)}\n" for i in range(200))


def wait(client: Client, id: str, *states: str, seconds: float = 60) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = client.get(f"/v1/jobs/{id}").json()
        if found["state"] in (states or jobs.ENDED):
            return found
        time.sleep(0.05)
    raise AssertionError(f"the job is still {found}")


def send(client: Client, content: bytes, kind: str, **fields: str) -> Any:
    return client.post("/v1/evaluations", files={"file": ("table.csv", content)}, data={"kind": kind, **fields})


def zipped(members: Mapping[str, bytes], **special: zipfile.ZipInfo) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(special.get(name, name), data)
    return out.getvalue()


def test_an_evaluation_from_upload_to_report(client: Client, tmp_path: Path) -> None:
    begun = send(client, SCORES.encode(), "scores", dataset="made up")
    assert begun.status_code == 202, begun.text
    id = schemas.JobOut.model_validate_json(begun.text).id
    assert begun.headers["location"] == f"/v1/jobs/{id}"
    waiting = send(client, SCORES.encode(), "scores").json()["id"]
    assert client.delete(f"/v1/jobs/{waiting}").status_code == 409
    assert client.post(f"/v1/jobs/{waiting}/cancel").json()["state"] == "canceled"
    stream = client.get(f"/v1/jobs/{id}/events")
    assert stream.headers["content-type"].startswith("text/event-stream")
    last = [json.loads(line[6:]) for line in stream.text.splitlines() if line.startswith("data: ")][-1]
    assert last["state"] == "done", last
    found = schemas.EvaluationOut.model_validate_json(client.get(f"/v1/evaluations/{id}").text)
    (tmp_path / "t.csv").write_text(SCORES)
    expected = json.loads(json.dumps(to_dict(evaluate_scores(tmp_path / "t.csv"))))
    assert found.report is not None
    same = {name: value for name, value in expected.items() if name not in ("source", "path", "file", "scores_file", "date", "created")}
    assert {name: found.report[name] for name in same} == same
    assert str(client.state.options.data) not in json.dumps(found.report)
    assert client.get(f"/v1/evaluations/{id}/report.json").json() == found.report
    assert client.get(f"/v1/evaluations/{id}/upload").status_code == 404
    assert client.get(f"/v1/evaluations/{id}/..%2fupload").status_code == 404
    assert {item["id"] for item in client.get("/v1/evaluations").json()["items"]} == {id, waiting}
    assert client.delete(f"/v1/jobs/{id}").status_code == 204
    assert client.get(f"/v1/evaluations/{id}").status_code == 404
    assert not client.state.folder(id).exists()


def test_a_job_that_fails_says_why(client: Client) -> None:
    id = send(client, b"score,label\n0.5,yes\n", "scores").json()["id"]
    archive = send(client, zipped({"../../evil.jpg": b"x"}), "folder").json()["id"]
    failed = wait(client, id)
    assert failed["state"] == "failed"
    assert "line 2" in failed["problem"]["detail"]
    assert str(client.state.options.data) not in failed["problem"]["detail"]
    assert "stay inside" in wait(client, archive)["problem"]["detail"]
    assert not list(client.state.options.data.parent.rglob("evil*"))


def test_what_is_refused_before_a_job(client: Client) -> None:
    assert send(client, b"x", "wealth").status_code == 422
    assert send(client, b"x", "folder", embedder="adaface-ir101").status_code == 422
    assert client.post("/v1/evaluations", data={"kind": "scores"}).status_code == 415
    assert client.post("/v1/evaluations", files={"other": ("a", b"x")}, data={"kind": "scores"}).status_code == 422
    assert list(client.state.options.jobs.iterdir()) == []
    assert client.get("/v1/jobs/0123456789abcdef").status_code == 404
    assert client.get("/v1/jobs/..").status_code in (404, 405)


def test_a_replayed_upload_begins_one_job(client: Client) -> None:
    first, again = (
        client.post("/v1/evaluations", files={"file": ("t.csv", SCORES.encode())}, data={"kind": "scores"}, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    )
    assert first.json()["id"] == again.json()["id"]
    assert len(client.get("/v1/jobs").json()["items"]) == 1
    assert len(list(client.state.options.jobs.iterdir())) == 1


def test_dead_workers_jobs_are_begun_again_and_given_up(tmp_path: Path) -> None:
    store = Store(tmp_path / "service.db")
    id = jobs.create(store, jobs.new_id(), "evaluation", "k", {}).id
    now = time.time()
    for attempt in range(jobs.ATTEMPTS):
        claimed = jobs.claim(store, now)
        assert claimed is not None, attempt
        assert jobs.claim(store, now) is None
        now += jobs.SILENCE + 1
    assert jobs.claim(store, now) is None
    found = jobs.get(store, id)
    assert found is not None
    assert found.state == "failed"
    assert not jobs.beat(store, id, now)
    store.close()


def test_a_canceled_job_stays_canceled(tmp_path: Path) -> None:
    store = Store(tmp_path / "service.db")
    id = jobs.create(store, jobs.new_id(), "evaluation", "k", {}).id
    jobs.claim(store, time.time())
    jobs.cancel(store, id)
    jobs.finish(store, id)
    jobs.report(store, id, 5, 10)
    found = jobs.get(store, id)
    assert found is not None
    assert (found.state, found.done) == ("canceled", 0)
    store.close()


def link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("a/link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def list_of(size: int, zip64: bool = False) -> bytes:
    """The end of an archive that says that its list of files has `size` bytes (APPNOTE.TXT 4.3.14 and 4.3.16)."""
    if not zip64:
        return bytes(1000) + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 9, 9, size, 0, 0)
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 9, 9, size, 0)
    return record + struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1) + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 9, 9, 0xFFFFFFFF, 0xFFFFFFFF, 0)


def test_the_list_of_files_is_measured_before_it_is_read(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    for zip64 in (False, True):
        archive.write_bytes(list_of(65 << 20, zip64))
        with pytest.raises(InputError, match="list of files has 68157440 bytes"):
            unpack(archive, tmp_path, 1 << 30)


def test_a_full_disk_is_not_the_archives_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "up.zip").write_bytes(zipped({"a/b.jpg": b"1"}))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match="No space") as raised:
        unpack(tmp_path / "up.zip", tmp_path / "in", 1 << 30)
    assert not isinstance(raised.value, InputError)


HOSTILE = {
    "upward": zipped({"../x": b"1"}), "absolute": zipped({"/etc/x": b"1"}), "drive": zipped({"C:/x": b"1"}), "backslash": zipped({"..\\x": b"1"}),
    "link": zipped({"a/link": b"/etc/passwd"}, **{"a/link": link()}), "twice": zipped({"A.jpg": b"1", "a.jpg": b"2"}), "control": zipped({"a\x07b": b"1"}),
    "bomb": zipped({"zeros": bytes(300 << 20)}), "no zip": b"PK\x03\x04 not really", "long": zipped({"a" * 300: b"1"}),
    "file as folder": zipped({"a": b"1", "a/b": b"2"}), "deep": zipped({"d/" * 2000 + "x": b"1"}), "deep enough": zipped({"d/" * 30 + "x": b"1"}),
    "whole name": zipped({"/".join(["n" * 200] * 6): b"1"}), "list": list_of(70 << 20), "list in zip64": list_of(70 << 20, zip64=True),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_archives(tmp_path: Path, name: str) -> None:
    (tmp_path / "up.zip").write_bytes(HOSTILE[name])
    (tmp_path / "in").mkdir()
    with pytest.raises(InputError):
        unpack(tmp_path / "up.zip", tmp_path / "in", 1 << 30)
    assert sum(path.stat().st_size for path in (tmp_path / "in").rglob("*") if path.is_file()) < 220 << 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "up.zip"]
    assert not any(path.is_symlink() for path in (tmp_path / "in").rglob("*"))


def test_a_plain_archive_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "up.zip").write_bytes(zipped({"사람/one.jpg": b"1", "b/two.jpg": b"22", "__MACOSX/b/._two.jpg": b"x", "empty/": b""}))
    assert unpack(tmp_path / "up.zip", tmp_path / "in", 1 << 20) == 2
    assert (tmp_path / "in" / "사람" / "one.jpg").read_bytes() == b"1"


@pytest.mark.assets
def test_a_folder_of_people_with_progress_and_cancel(samples: Mapping[str, Path], tmp_path: Path) -> None:
    people = {"a": ("person_a_1", "person_a_2"), "b": ("person_b_1", "person_b_2"), "c": ("impostor_1",), "d": ("impostor_2",)}
    members = {
        f"top/{who}/{i}-{name}.jpg": samples[name].read_bytes() + bytes([i]) for who, names in people.items() for name in names for i in range(30)
    }
    with running(ServerOptions(data=tmp_path / "data", batch=1, attributes=())) as client:
        first = send(client, zipped(members), "folder", dataset="samples, thirtyfold").json()["id"]
        end = time.monotonic() + 60
        while client.get(f"/v1/jobs/{first}").json()["done"] == 0 and time.monotonic() < end:
            time.sleep(0.05)
        shown = client.get(f"/v1/jobs/{first}").json()
        assert shown["total"] == len(members)
        assert len(multiprocessing.active_children()) == 1
        client.post(f"/v1/jobs/{first}/cancel")
        end = time.monotonic() + 15
        while time.monotonic() < end and multiprocessing.active_children():
            time.sleep(0.1)
        assert not multiprocessing.active_children(), "a canceled job's process ends"
        assert client.get(f"/v1/jobs/{first}").json()["state"] == "canceled"
        few = {name: data for name, data in members.items() if name.split("/")[2].startswith(("0-", "1-"))}
        second = send(client, zipped(few), "folder", dataset="samples, twice").json()["id"]
        done = wait(client, second, seconds=120)
        assert done["state"] == "done", done
        found = client.get(f"/v1/evaluations/{second}").json()
        assert {"report.json", "report.html"} <= set(found["files"])
        page = client.get(f"/v1/evaluations/{second}/report.html")
        assert "sandbox" in page.headers["content-security-policy"]
        assert str(tmp_path) not in page.text
