"""The laws of tables of faces: each picture exactly once, whatever happens. Faces come from a toy (its rows tell the picture's content)."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from PIL import Image

arrow = pytest.importorskip("pyarrow", reason="tables of faces need the extra parquet")
parquet = pytest.importorskip("pyarrow.parquet")

from faceworks.batch import tables  # noqa: E402
from faceworks.batch.rows import FaceRows  # noqa: E402
from faceworks.errors import ConfigError, ManifestError  # noqa: E402
from faceworks.pipeline import PipelineSpec  # noqa: E402
from unit.batch_toys import ToyRows  # noqa: E402

TASK = ToyRows(PipelineSpec(), "detect")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(25):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "in" / f"{number:02d}.png")
    (tmp_path / "in" / "05.png").write_bytes(b"no picture")
    return tmp_path


def pictures(folder):
    return sorted((folder / "in").glob("*.png"))


def rows(folder):
    return list(tables.read_rows(folder / "t.parquet"))


@pytest.mark.parametrize("executor", ["serial", "threads", "processes"])
def test_rows_of_every_picture_in_order(folder, executor):
    summary = tables.write_table(TASK, pictures(folder), folder / "t.parquet", executor=executor, workers=2)
    assert (summary.pictures, summary.errors, summary.resumed) == (25, 1, 0)
    found = rows(folder)
    per_picture = {number: number % 3 for number in range(25) if number != 5}
    assert summary.faces == sum(per_picture.values())
    expected = [(f"{n:02d}.png", face) for n in range(25) for face in (range(per_picture.get(n, 0)) if per_picture.get(n, 0) else [None])]
    assert [(Path(row["source"]).name, row["face"]) for row in found] == expected
    assert [row["error"] is not None for row in found] == [Path(row["source"]).name == "05.png" for row in found]
    assert all(row["box"] == [1, 2, 3, 4] for row in found if row["face"] is not None)
    table = parquet.read_table(folder / "t.parquet")  # the folder's name is the table's
    assert table.num_rows == len(found)


def test_a_second_run_does_only_what_is_new_or_changed(folder):
    tables.write_table(TASK, pictures(folder), folder / "t.parquet", executor="serial")
    before = rows(folder)
    again = tables.write_table(TASK, pictures(folder), folder / "t.parquet", executor="serial")
    assert (again.pictures, again.resumed) == (0, 25)
    assert [path.name for path in (folder / "t.parquet").glob("part-*")] == ["part-00000.parquet"]
    Image.new("RGB", (8, 8), (100, 0, 0)).save(folder / "in" / "99.png")
    Image.new("RGB", (8, 8), (101, 0, 0)).save(folder / "in" / "07.png")  # another content under an old name
    third = tables.write_table(TASK, pictures(folder), folder / "t.parquet", executor="serial")
    assert (third.pictures, third.resumed) == (2, 24)
    assert rows(folder)[: len(before)] == before


def test_errors_are_tried_again_when_asked(folder):
    tables.write_table(TASK, pictures(folder), folder / "t.parquet", executor="serial")
    assert tables.write_table(TASK, pictures(folder), folder / "t.parquet", executor="serial").pictures == 0
    again = tables.write_table(TASK, pictures(folder), folder / "t.parquet", executor="serial", retry_errors=True)
    assert (again.pictures, again.errors) == (1, 1)
    assert sum(row["error"] is not None for row in rows(folder)) == 1
    assert len({row["source"] for row in rows(folder)}) == 25


def test_another_recipe_or_a_foreign_folder_is_refused(folder):
    tables.write_table(TASK, pictures(folder), folder / "t.parquet", executor="serial")
    for other in (dataclasses.replace(TASK, step="embed"), dataclasses.replace(TASK, spec=PipelineSpec(min_score=0.9))):
        with pytest.raises(ConfigError, match="name another table"):
            tables.write_table(other, pictures(folder), folder / "t.parquet", executor="serial")
    with pytest.raises(ConfigError, match="is no table of faceworks"):
        tables.write_table(TASK, pictures(folder), folder / "in", executor="serial")
    (folder / "t.parquet" / "part-00001.parquet").write_bytes(b"torn")
    with pytest.raises(ConfigError, match=r"part-00001.parquet is no shard"):
        tables.write_table(TASK, pictures(folder), folder / "t.parquet", executor="serial")
    with pytest.raises(ManifestError):
        rows(folder / "in")


def test_two_runs_at_once_are_refused(folder):
    with tables._Table(folder / "t.parquet", TASK, False), pytest.raises(ConfigError, match="another run is writing"):
        tables.write_table(TASK, pictures(folder), folder / "t.parquet", executor="serial")


def test_a_full_disk_keeps_what_is_whole(folder, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tables, "SHARD_PICTURES", 5)
    done = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: real(descriptor) if len(done) < 4 and not done.append(1) else fail(descriptor))
    with pytest.raises(ConfigError, match="No space left"):
        tables.write_table(TASK, pictures(folder), folder / "t.parquet", executor="serial")
    monkeypatch.setattr(os, "fsync", real)
    assert not list((folder / "t.parquet").glob(".part*"))
    tables.write_table(TASK, pictures(folder), folder / "t.parquet", executor="serial")
    assert len({row["source"] for row in rows(folder)}) == 25
    assert len(rows(folder)) == len({(row["source"], row["face"]) for row in rows(folder)})


def test_killed_at_random_and_resumed(folder):
    """Kill -9 until the run gets through: no picture is lost or doubled."""
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from faceworks.batch import tables
        from faceworks.pipeline import PipelineSpec
        from unit.batch_toys import ToyRows
        tables.SHARD_PICTURES = 3
        tables.write_table(ToyRows(PipelineSpec(), "detect", delay=0.03), sorted(Path({str(folder / "in")!r}).glob("*.png")),
                           {str(folder / "t.parquet")!r}, executor="serial")
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    kills = 0
    for _ in range(30):
        run = subprocess.Popen([sys.executable, "-c", script], env=environment)
        until = time.monotonic() + 60
        parts = len(list((folder / "t.parquet").glob("part-*")))
        while run.poll() is None and time.monotonic() < until and len(list((folder / "t.parquet").glob("part-*"))) < parts + 4:
            time.sleep(0.005)
        if run.poll() is None:
            run.send_signal(signal.SIGKILL)
            kills += 1
        if run.wait() == 0:
            break
    assert kills > 1
    assert run.returncode == 0
    found = rows(folder)
    assert len({row["source"] for row in found}) == 25
    assert len(found) == len({(row["source"], row["face"]) for row in found})


def test_on_ray_the_rows_are_the_same(folder):
    pytest.importorskip("ray", reason="needs the extra ray")
    script = textwrap.dedent(
        f"""
        from pathlib import Path
        from faceworks.batch import tables
        from faceworks.pipeline import PipelineSpec
        from unit.batch_toys import ToyRows
        done = tables.write_table(ToyRows(PipelineSpec(), "detect"), sorted(Path({str(folder / "in")!r}).glob("*.png")), {str(folder / "t.parquet")!r},
                                  executor="ray", workers=2, batch_size=4)
        assert (done.pictures, done.errors) == (25, 1), done
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "RAY_USAGE_STATS_ENABLED": "0"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=180)
    assert run.returncode == 0, run.stderr
    tables.write_table(TASK, pictures(folder), folder / "s.parquet", executor="serial")
    assert rows(folder) == list(tables.read_rows(folder / "s.parquet"))
    with pytest.raises(ConfigError, match="say executor='ray'"):
        tables.write_table(TASK, pictures(folder), folder / "u.parquet", executor="serial", address="auto")


@pytest.mark.assets
def test_real_faces(folder, group):
    """The shipped pipeline through `FaceRows`: what the table says is what `embed` says."""
    from faceworks import api

    tables.write_table(FaceRows(PipelineSpec(select="all", on_no_face="empty"), "embed"), [group], folder / "t.parquet", executor="serial")
    found = rows(folder)
    expected = api.embed(group)
    assert len(found) == len(expected) > 1
    for row, face in zip(found, expected, strict=True):
        assert row["vector"] == pytest.approx(face.embedding.vector.tolist(), abs=1e-6)
        assert row["box"] == pytest.approx(face.face.box.tolist(), abs=1e-4)
        assert row["landmarks"] == pytest.approx(face.face.landmarks.points.ravel().tolist(), abs=1e-4)


def test_a_file_is_no_table(tmp_path):
    (tmp_path / "faces.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConfigError, match=r"faces.parquet cannot be a table: a file lies there"):
        tables.write_table(TASK, [], tmp_path / "faces.parquet", executor="serial")
