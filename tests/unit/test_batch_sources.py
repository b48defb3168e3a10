"""Every source that `gather` takes, on made pictures."""

from __future__ import annotations

import csv
import errno
import io
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceworks.batch.folders import expand
from faceworks.batch.sources import Content, Member, content_hash, gather, load
from faceworks.errors import ImageError, InputError, ManifestError
from faceworks.settings import use


def png(value):
    file = io.BytesIO()
    Image.new("RGB", (5, 4), (value, 0, 0)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png(number))
    return tmp_path


def values(references):
    return [int(load(reference)[0, 0, 0]) for reference in references]


def test_files_folders_and_globs_come_once(folder):
    found = list(gather([folder / "1.png", folder, str(folder / "*.png")]))
    assert found == [folder / "1.png", folder / "0.png", folder / "2.png"]


def test_zip(folder):
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for name in ("b/1.png", "0.PNG", "__MACOSX.png", "notes.txt", ".hidden.png"):
            archive.writestr(name, png(7 if name == "0.PNG" else 8))
    found = list(gather([folder / "a.zip"]))
    assert [str(item) for item in found] == [f"{folder}/a.zip!b/1.png", f"{folder}/a.zip!0.PNG"]
    assert values(found) == [8, 7]
    assert content_hash(found[1]) == content_hash(png(7))


@pytest.mark.parametrize(("name", "mode"), [("a.tar", "w"), ("a.tar.gz", "w:gz"), ("a.tgz", "w:gz")])
def test_tar_passes_over_links_and_keeps_order(folder, name, mode):
    with tarfile.open(folder / name, mode) as archive:
        for number in (2, 1):
            archive.add(folder / f"{number}.png", f"x/{number}.png")
        link = tarfile.TarInfo("evil.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    found = list(gather([folder / name]))
    assert [str(item).rpartition("!")[2] for item in found] == ["x/2.png", "x/1.png"]
    assert values(found) == [2, 1]
    assert all(isinstance(item, Member if mode == "w" else Content) for item in found)


def test_a_csv_names_pictures_beside_it(folder):
    for name, separator in (("t.csv", ","), ("t.tsv", "\t")):
        with (folder / name).open("w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file, delimiter=separator).writerows([["person", "Path"], ["가", "2.png"], ["b", "0.png"]])
        assert values(gather([folder / name])) == [2, 0]
    with pytest.raises(ManifestError, match=r"no column 'face'.*person, Path"):
        list(gather([folder / "t.csv"], column="face"))


def test_a_parquet_of_paths_bytes_and_structs(folder):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {"path": ["1.png", "2.png"], "raw": [png(3), png(4)], "image": [{"bytes": png(5), "path": None}, {"bytes": png(6), "path": None}]}
    parquet.write_table(arrow.table(columns), folder / "t.parquet")
    assert [values(gather([folder / "t.parquet"], column=name)) for name in columns] == [[1, 2], [3, 4], [5, 6]]


def test_what_cannot_be_read_says_so(folder):
    (folder / "bad.zip").write_bytes(b"PK nothing")
    (folder / "bad.tar").write_bytes(b"x" * 2000)
    with zipfile.ZipFile(folder / "empty.zip", "w") as archive:
        archive.writestr("notes.txt", "x")
    for name, words in (("bad.zip", "zip file"), ("bad.tar", "tar file"), ("empty.zip", "no picture in"), ("absent.zip", "does not exist")):
        with pytest.raises(InputError, match=words):
            list(gather([folder / name]))


def test_a_member_that_unpacks_to_more_than_its_header_says(folder):
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.bmp", bytes(3_000_000))
    (reference,) = gather([folder / "bomb.zip"])
    with use(max_image_bytes=1_000_000), pytest.raises(ImageError, match=r"bomb.zip!0.bmp exceeds the limit"):
        load(reference)


def test_frames_of_a_video(tmp_path):
    pytest.importorskip("av")
    from faceworks.image import frames

    path = tmp_path / "v.mp4"
    with frames.write(path, 10) as add:
        for number in range(12):
            add(np.full((48, 64, 3), 20 * number, np.uint8))
    read = list(frames.read(path))
    assert [item.index for item in read] == list(range(12))
    assert [item.time for item in read] == pytest.approx(np.arange(12) / 10)
    assert all(abs(float(item.pixels.mean()) - 20 * item.index) < 6 for item in read)
    assert [item.index for item in frames.read(path, every=5)] == [0, 5, 10]
    assert 1 <= len(list(frames.read(path, keyframes=True))) < 12
    assert [str(item) for item in gather([path], every=6)] == [f"{path}#00000000", f"{path}#00000006"]
    assert frames.frame_rate(path) == 10
    for bad in ("http://127.0.0.1/v.mp4", str(Path(tmp_path, "none.mp4"))):
        with pytest.raises(ImageError):
            next(frames.read(bad))
    (tmp_path / "broken.mp4").write_bytes(path.read_bytes()[:100])
    with pytest.raises(ImageError, match="cannot be read as a video"):
        next(frames.read(tmp_path / "broken.mp4"))


def test_a_folder_that_may_not_be_read_is_said(folder, monkeypatch):
    """As an `os.walk` or a `stat` without the right says it: run as root there is no such folder."""

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(InputError, match=r"cannot look into .*: Permission denied; change its rights"):
        list(gather([folder]))
    monkeypatch.setattr(Path, "stat", lambda self, **_: refuse(self))
    with pytest.raises(InputError, match=r"cannot look into .*a\.png: Permission denied"):
        expand([folder / "closed" / "a.png"])
