"""Ratings from people, other programs and outside models: what is read, what is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from faceworks.errors import ConfigError, ManifestError
from faceworks.study import config as configuration
from faceworks.study import manifest as manifests
from faceworks.study.ai_rate import QUESTIONS, export, read_answers
from faceworks.study.config import Scales, StudyConfig
from faceworks.study.rating_page import rating_page
from faceworks.study.ratings import exclude, load_files, scaled
from faceworks.study.ratings_import import import_file, read_map

PICTURES = ["img/01_happy.png", "img/01_sad.png"]
SCALES = Scales()


def read(tmp_path: Path, map_text: str, data: str, suffix: str = "csv") -> list[tuple[str, str, str, Any]]:
    (tmp_path / "map.toml").write_text(map_text, encoding="utf-8")
    (tmp_path / f"data.{suffix}").write_text(data, encoding="utf-8")
    found = import_file(tmp_path / f"data.{suffix}", read_map(tmp_path / "map.toml"), PICTURES, SCALES)
    return [(item.rater, item.picture, item.question, item.value) for item in found]


def test_qualtrics_wide(tmp_path: Path) -> None:
    data = "ResponseId,01_happy_emo,01_happy_val,01_sad_emo\nid,Q1,Q2,Q3\n{x},{x},{x},{x}\nR_1,1,4,2\nR_2,2,-4,\n"
    text = (
        'form = "wide"\nrater = "ResponseId"\nskip_lines = 2\ncolumns = "{picture}_{question}"\n[questions]\nemo = "emotion"\nval = "valence"\n'
        '[values.emotion]\n1 = "happy"\n2 = "sad"\n[scales]\nvalence = [-4, 4]\n'
    )
    assert read(tmp_path, text, data) == [
        ("R_1", PICTURES[0], "emotion", "happy"), ("R_1", PICTURES[0], "valence", 9.0), ("R_1", PICTURES[1], "emotion", "sad"),
        ("R_2", PICTURES[0], "emotion", "sad"), ("R_2", PICTURES[0], "valence", 1.0),
    ]  # fmt: skip


def test_google_forms_in_korean(tmp_path: Path) -> None:
    data = "타임스탬프,코드,1번 사진의 감정은?,1번 사진의 자연스러움\n2026. 1. 1,가나,행복,6\n2026. 1. 2,다라,기타/해당 없음,7\n"
    text = 'form = "wide"\nrater = "코드"\n[columns_of]\n"1번 사진의 감정은?" = ["01_happy", "emotion"]\n"1번 사진의 자연스러움" = ["01_happy", "naturalness"]\n'
    assert read(tmp_path, text, data) == [
        ("가나", PICTURES[0], "emotion", "happy"), ("가나", PICTURES[0], "naturalness", 6.0),
        ("다라", PICTURES[0], "emotion", "other"), ("다라", PICTURES[0], "naturalness", 7.0),
    ]  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "json"])
def test_jspsych_trials(tmp_path: Path, suffix: str) -> None:
    rows = [
        {"participant": "P1", "stimulus": "", "response": "", "rt": "900"},
        {"participant": "P1", "stimulus": "https_cache/img/01_sad.png", "response": json.dumps({"emotion": "sadness", "how": 40}), "rt": "2500"},
    ]
    text = 'form = "trials"\nrater = "participant"\npicture = "stimulus"\nseconds = "rt"\nseconds_per = 1000.0\n'
    text += '[questions]\n"response.emotion" = "emotion"\n"response.how" = "intensity"\n'
    if suffix == "json":
        data = json.dumps(rows)
    else:
        data = "participant,stimulus,response,rt\n" + "\n".join(
            ",".join([r["participant"], r["stimulus"], '"' + r["response"].replace('"', '""') + '"', r["rt"]]) for r in rows
        )
    assert read(tmp_path, text, data, suffix) == [("P1", PICTURES[1], "emotion", "sad"), ("P1", PICTURES[1], "intensity", 40.0)]


@pytest.mark.parametrize(
    ("map_text", "data", "error", "words"),
    [
        ('form = "wide"\nrater = "id"\n', "id\n1\n", ConfigError, "needs columns"),
        ('form = "long"\nrater = "id"\ncolour = 1\n', "id\n1\n", ConfigError, "unknown key"),
        ('form = "long"\nrater = "id"\n[questions]\na = "mood"\n', "id\n1\n", ConfigError, "unknown questions mood"),
        ('form = "long"\nrater = "who"\n', "id\n1\n", ManifestError, "no column 'who'"),
        ('form = "long"\nrater = "id"\n', "id,picture,question,value\n1,02.png,valence,3\n", ManifestError, r"line 2.*not in the manifest"),
        ('form = "long"\nrater = "id"\n', "id,picture,question,value\n1,01_sad.png,valence,99\n", ManifestError, r"line 2.*from 1 to 9"),
    ],
)
def test_wrong_imports(tmp_path: Path, map_text: str, data: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        read(tmp_path, map_text, data)


def test_exclusion_and_scales(tmp_path: Path) -> None:
    lines = ["rater,picture,question,value,order,seconds,kind,expected"]
    for rater, seconds, check in (("good", 3.0, "happy"), ("quick", 0.2, "happy"), ("careless", 3.0, "sad")):
        lines += [f"{rater},{PICTURES[0]},valence,9,1,{seconds},rating,", f"{rater},{PICTURES[1]},emotion,{check},2,3,check,happy"]
    (tmp_path / "r.csv").write_text("\n".join(lines), encoding="utf-8")
    rows = load_files([tmp_path / "r.csv", tmp_path / "r.csv"], PICTURES, SCALES)
    assert len(rows) == 6  # the same file twice counts once
    kept = exclude(rows, SCALES)
    assert set(kept.excluded) == {"quick", "careless"}
    assert kept.means("valence") == {PICTURES[0]: 9.0}
    assert [scaled("valence", value, SCALES) for value in (1, 5, 9)] == [-1.0, 0.0, 1.0]
    (tmp_path / "other.csv").write_text(lines[0] + f"\ngood,{PICTURES[0]},valence,2,1,3,rating,\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="twice"):
        load_files([tmp_path / "r.csv", tmp_path / "other.csv"], PICTURES, SCALES)


def parts(study: Path) -> tuple[StudyConfig, manifests.Manifest]:
    return configuration.load(study / "study.toml"), manifests.read(study / "manifest.csv")


def test_an_outside_model_rates(study: Path, tmp_path: Path) -> None:
    config, manifest = parts(study)
    tasks = [json.loads(line) for line in export(config, manifest).splitlines()]
    assert len(tasks) == 48
    assert set(tasks[0]["prompt"]) == {"en", "ko"}
    assert "happy" not in json.dumps(tasks[0]["picture_sha256"])
    answers = []
    for number, task in enumerate(tasks):  # a scripted rater that follows the schema
        properties = task["schema"]["properties"]
        assert task["schema"]["required"] == list(QUESTIONS)
        answer = {"emotion": properties["emotion"]["enum"][number % 4], **{name: properties[name]["maximum"] for name in QUESTIONS[1:]}}
        answers.append({"picture_sha256": task["picture_sha256"], "model": "scripted", "date": "2026-01-31", "answer": answer})
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(json.dumps(entry) for entry in answers), encoding="utf-8")
    found = read_answers(path, config, manifest)
    assert len(found) == 48 * 5
    assert {(item.rater, item.source) for item in found} == {("scripted (2026-01-31)", "ai")}
    for change, words in (
        ({"answer": {**answers[2]["answer"], "valence": 12}}, r"line 3, column value.*from 1 to 9"),
        ({"answer": {"emotion": "happy"}}, r"line 3.*exactly"),
        ({"answer": {**answers[2]["answer"], "intensity": "very"}}, r"line 3.*must be a number"),
        ({"answer": {**answers[2]["answer"], "emotion": "bored"}}, r"line 3.*unknown emotion"),
        ({"model": ""}, r"line 3, column model"),
        ({"date": "yesterday"}, r"line 3, column date"),
        ({"picture_sha256": "0" * 64}, r"line 3.*no edit"),
        ({"picture_sha256": answers[1]["picture_sha256"]}, r"line 3.*twice"),
    ):
        broken = [*answers[:2], answers[2] | change, *answers[3:]]
        path.write_text("\n".join(json.dumps(entry) for entry in broken), encoding="utf-8")
        with pytest.raises(ManifestError, match=words):
            read_answers(path, config, manifest)


def test_the_rating_page_is_reproducible_and_self_contained(study: Path) -> None:
    config, manifest = parts(study)
    text, data = rating_page(config, manifest, per_rater=16, raters=6)
    assert text == rating_page(config, manifest, per_rater=16, raters=6)[0]
    assert "http" not in text.replace("http-equiv", "")
    assert "__DATA__" not in text
    assert len(data["blocks"]) == 6
    counts = dict.fromkeys(range(48), 0)
    for block in data["blocks"]:
        kinds = [trial["kind"] for trial in block]
        assert kinds.count("rating") == 16
        assert kinds.count("check") == 2
        assert kinds[:2] == ["practice", "practice"]
        for trial in block:
            counts[trial["item"]] += trial["kind"] == "rating"
        checks = [trial["item"] for trial in block if trial["kind"] == "check"]
        assert len(set(checks)) == 2
    assert max(counts.values()) - min(counts.values()) <= 1
    assert data["choices"] == ["neutral", "happy", "sad", "angry", "other"]
