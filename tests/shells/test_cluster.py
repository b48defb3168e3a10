"""faceworks cluster on the sample pictures: three runs, each building on the one before."""

from __future__ import annotations

import csv
import json
import shutil

import pytest

pytest.importorskip("pyarrow", reason="tables of faces need the extra parquet")

import faceworks
from faceworks.cli import run

pytestmark = pytest.mark.assets


def rows(folder):
    with (folder / "people.csv").open(encoding="utf-8-sig", newline="") as file:
        return {row["face"].rpartition("/")[2]: int(row["person"]) for row in csv.DictReader(file)}


def test_an_album(samples, group, tmp_path, capsys):
    album, out = tmp_path / "album", tmp_path / "out"
    album.mkdir()
    for name, path in samples.items():
        shutil.copy(path, album / f"{name}.jpg")
    shutil.copy(group, album / "solvay.jpg")
    common = [str(album), "--out", str(out), "--executor", "serial", "--threshold", "0.4", "--json"]
    assert run(["cluster", *common, "--folders", "--gallery", str(out / "people.h5")]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["faces"] >= 33
    first = rows(out)
    assert first["person_a_1.jpg#0"] == first["person_a_2.jpg#0"] != first["person_b_1.jpg#0"] == first["person_b_2.jpg#0"]
    solvay = [person for face, person in first.items() if face.startswith("solvay")]
    assert len(set(solvay)) == len(solvay)  # one picture: no two are joined
    assert sorted(path.name for path in (out / "people").iterdir()) == ["person-00000", "person-00001"]
    assert len(list((out / "people" / "person-00000").iterdir())) == 2
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "http" not in page.replace("https://www.w3.org", "")
    assert page.count("data:image/jpeg") >= 4
    with faceworks.open_gallery(str(out / "people.h5"), "r") as gallery:
        assert [entry.person.name for entry in gallery.people()] == ["person-00000", "person-00001"]
        assert gallery.identify([samples["person_a_1"]])[0][0].person == f"person-{first['person_a_1.jpg#0']:05d}"

    shutil.copy(samples["person_a_2"], album / "again.jpg")  # a new picture: the others are not embedded again, and keep their people
    said = tmp_path / "said.csv"
    face = {name: f"{album}/{name}.jpg#0" for name in ("person_b_1", "person_b_2")}
    said.write_text(f"relation,a,b\ndifferent,{face['person_b_1']},{face['person_b_2']}\n", encoding="utf-8")
    with faceworks.open_gallery(str(out / "people.h5")) as gallery:
        gallery.rename(f"person-{first['person_a_1.jpg#0']:05d}", "Ada")
    assert run(["cluster", *common, "--gallery", str(out / "people.h5")]) == 0
    with faceworks.open_gallery(
        str(out / "people.h5"), "r"
    ) as gallery:  # the new face went to the person, whatever she is called now; nothing is there twice
        assert {entry.person.name: len(entry.samples) for entry in gallery.people()} == {"Ada": 3, f"person-{first['person_b_1.jpg#0']:05d}": 2}
    second = rows(out)
    assert {name: second[name] for name in first} == first
    assert second["again.jpg#0"] == first["person_a_1.jpg#0"]
    capsys.readouterr()
    assert run(["cluster", *common, "--folders", "--feedback", str(said)]) == 0  # without --anew: the others keep their numbers
    split = rows(out)
    assert split["person_b_1.jpg#0"] != split["person_b_2.jpg#0"]
    changed = {name for name in second if split[name] != second[name]}
    assert len(changed) == 1
    assert changed < {"person_b_1.jpg#0", "person_b_2.jpg#0"}
    assert run(["cluster", *common, "--gallery", str(out / "people.h5")]) == 2
    assert "joined or split since" in capsys.readouterr().err
    assert sorted(path.name for path in (out / "people").iterdir()) == ["person-00000"]  # nobody is left in the folder of somebody else
    capsys.readouterr()
    assert run(["cluster", *common, "--anew", "--feedback", str(said)]) == 0
    third = rows(out)
    assert third["person_b_1.jpg#0"] != third["person_b_2.jpg#0"]
    assert json.loads(capsys.readouterr().out)["suggestions"] >= 1
    said.write_text(f"relation,a,b\nsame,{face['person_b_1']},{album}/person_a_1.jpg#0\n", encoding="utf-8")
    before = len(set(third.values()))
    assert run(["cluster", *common, "--folders", "--feedback", str(said)]) == 0
    fourth = rows(out)
    assert fourth["person_b_1.jpg#0"] == fourth["person_a_1.jpg#0"]
    assert json.loads(capsys.readouterr().out)["people"] == len(set(fourth.values())) == before - 1
    said.write_text("relation,a,b\nsame,nobody#0,nobody#1\n", encoding="utf-8")
    assert run(["cluster", *common, "--feedback", str(said)]) == 2
    assert "no face is called 'nobody#0'" in capsys.readouterr().err
    assert run(["cluster", *common[:-1]]) == 0
    told = capsys.readouterr().out
    assert "seen once" in told
    assert told.endswith(f"look: {out / 'index.html'}\n")
