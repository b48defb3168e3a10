"""Folder -> manifest -> checked pictures: names in English and Korean, patterns, gaps, and every way a manifest can be wrong."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import pytest

from faceworks import image
from faceworks.errors import AssetUnavailable, ConfigError, InputError, ManifestError
from faceworks.study import begin, scan
from faceworks.study import config as configuration
from faceworks.study import manifest as manifests
from faceworks.study.check import refuse_blind, states, usable
from faceworks.study.config import StudyConfig
from faceworks.study.naming import Pattern, canonical


def picture(path: Path, seed: int, alpha: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    if alpha:
        from PIL import Image

        Image.fromarray(np.dstack([pixels, np.full((12, 10), 200, np.uint8)])).save(path)
    else:
        image.save(path, pixels)


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ("angry anger 분노 화남 Anger ANGRY", "angry"),
        ("disgust disgusted 혐오 역겨움", "disgust"),
        ("surprise surprised 놀람", "surprise"),
        ("happy happiness 행복 기쁨", "happy"),
        ("sad sadness 슬픔", "sad"),
        ("fear 두려움", "fear"),
        ("neutral 평범함 무표정 중립", "neutral"),
    ],
)
def test_aliases(words: str, label: str) -> None:
    for word in words.split():
        assert canonical(word) == label
        assert canonical(unicodedata.normalize("NFD", word)) == label
    assert canonical("glad") is None
    assert canonical("Glad", {"glad": "happy"}) == "happy"


def test_the_three_patterns_are_recognized(tmp_path: Path) -> None:
    layouts = {
        "{identity}_{condition}_{replicate}": ["a_neutral_1.png", "a_angry_1.png", "b_b_무표정.webp", "b_b_화남_2.png"],
        "{condition}/{identity}": ["neutral/a.png", "angry/a.png", "neutral/b c.png", "분노/b c.png"],
        "{identity}/{condition}": ["a/neutral.png", "a/angry.png", "b c/무표정.png", "b c/anger.webp"],
    }
    for number, (pattern, names) in enumerate(layouts.items()):
        for seed, name in enumerate(names):
            picture(tmp_path / str(number) / name, seed, alpha=name.endswith(".png"))
        found = scan(tmp_path / str(number))
        assert found.pattern == pattern
        assert len(found.rows) == 4
        assert {row["condition"] for row in found.rows} == {"neutral", "angry"}
        assert not found.gaps
        assert not found.unmatched


def test_begin_writes_once_and_reads_back(tmp_path: Path) -> None:
    for seed, name in enumerate(["01/original.png", "01/neutral.png", "01/happy.png", "02/original.png", "02/happy.png"]):
        picture(tmp_path / name, seed)
    found = begin(tmp_path, language="ko")
    assert found.gaps == (("02", "neutral"),)
    manifest = manifests.read(tmp_path / "manifest.csv")
    assert [(item.identity, item.role, item.condition) for item in manifest.pictures][:3] == [
        ("01", "source", "neutral"), ("01", "edit", "neutral"), ("01", "edit", "happy"),
    ]  # fmt: skip
    assert manifest.has_baseline
    assert manifest.targets == ["neutral", "happy"]
    assert configuration.load(tmp_path / "study.toml").language == "ko"
    with pytest.raises(InputError, match="not overwritten"):
        begin(tmp_path)


def test_a_folder_that_no_pattern_explains(tmp_path: Path) -> None:
    for seed, name in enumerate(["a_neutral.png", "a_happy.png", "cover.png"]):
        picture(tmp_path / name, seed)
    with pytest.raises(InputError, match=r"no pattern explains all 3 pictures.*cover\.png"):
        scan(tmp_path)
    assert scan(tmp_path, "{identity}_{condition}").unmatched == ("cover.png",)
    with pytest.raises(ConfigError, match="once each"):
        Pattern("{identity}")


def test_an_ambiguous_folder_is_an_error(tmp_path: Path) -> None:
    for seed, name in enumerate(["happy/neutral.png", "neutral/happy.png"]):
        picture(tmp_path / name, seed)
    with pytest.raises(InputError, match="2 patterns explain every file"):
        scan(tmp_path)


def test_an_identity_without_neutral_is_named(tmp_path: Path) -> None:
    for seed, name in enumerate(["a_neutral.png", "a_happy.png", "b_happy.png"]):
        picture(tmp_path / name, seed)
    with pytest.raises(InputError, match="'b'"):
        scan(tmp_path)


HEAD = "identity,picture,role,condition\n"


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("", 1, None, "empty"),
        ("identity,picture,role\na,a.png,source\n", 1, "condition", "must stand once"),
        (HEAD + "a,a.png,source,neutral\na,none.png,edit,happy\n", 3, "picture", "does not exist"),
        (HEAD + "a,a.png,source,neutral\na,b.png,edit,glad\n", 3, "condition", "unknown condition"),
        (HEAD + "a,a.png,source,happy\n", 2, "role", "neutral face"),
        (HEAD + "a,a.png,boss,neutral\n", 2, "role", "unknown role"),
        (HEAD + "a,a.png,source,neutral\nb,b.png,edit,happy\n", 3, "identity", "no source"),
        (HEAD + "a,a.png,source,neutral\na,copy.png,edit,happy\n", 3, "picture", "byte for byte"),
        (HEAD + "a,a.png,source,neutral\na,b.png,edit,happy\na,c.png,edit,happy\n", 3, "replicate", "more than once"),
        (HEAD + "a,a.png,source,neutral\n", None, None, "no edit"),
        (HEAD + "a,a.png,source\n", 2, None, "3 cells, expected 4"),
        (HEAD + ",a.png,source,neutral\n", 2, "identity", "empty"),
    ],
)
def test_wrong_manifests_name_line_and_column(tmp_path: Path, text: str, line: int | None, column: str | None, words: str) -> None:
    for seed, name in enumerate(["a.png", "b.png", "c.png"]):
        picture(tmp_path / name, seed)
    (tmp_path / "copy.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "manifest.csv").write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=words) as caught:
        manifests.read(tmp_path / "manifest.csv")
    assert (caught.value.line, caught.value.column) == (line, column)


def test_a_manifest_of_another_encoding_or_separator(tmp_path: Path) -> None:
    picture(tmp_path / "a.png", 0)
    picture(tmp_path / "b.png", 1)
    (tmp_path / "m.csv").write_bytes((HEAD + "a,a.png,source,무표정\n").encode("cp949"))
    with pytest.raises(ManifestError, match="not UTF-8"):
        manifests.read(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text((HEAD + "a,a.png,source,무표정\na,b.png,edit,기쁨\n").replace(",", ";"), encoding="utf-8-sig")
    assert manifests.read(tmp_path / "m.csv").targets == ["happy"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "unknown key 'colour'"),
        ("seed = 'x'", "seed: must be int"),
        ("metrics = ['euclidean', 'cosine']", "first decides"),
        ("fmrs = [1e-4, 1e-3]", "descending"),
        ("margin = -1.0", "positive"),
        ("[ratings]\nnaturalness_points = 6", "odd"),
        ("[aliases]\nglad = 'joyous'", "aliases"),
        ("seed = ", "not valid TOML"),
    ],
)
def test_wrong_configurations(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=words):
        configuration.load(tmp_path / "study.toml")


def test_the_digest_follows_every_value() -> None:
    base = StudyConfig()
    assert base.digest == StudyConfig().digest
    assert len({base.digest, StudyConfig(seed=1).digest, StudyConfig(aliases={"glad": "happy"}).digest, StudyConfig(margin=2.0).digest}) == 4


def test_a_model_that_cannot_say_a_target_is_refused() -> None:
    with pytest.raises(ConfigError, match="cannot say angry, disgust"):
        refuse_blind(StudyConfig(emotion=("emonet-5",)), ["happy", "angry", "disgust"])
    refuse_blind(StudyConfig(emotion=("emonet-8",)), ["happy", "angry", "disgust"])
    with pytest.raises(ConfigError, match="gives no emotion"):
        refuse_blind(StudyConfig(emotion=("minifasnet-v2-v1se",)), ["happy"])


def test_missing_models_stop_the_run_unless_skipped(empty_cache: Path) -> None:
    config = StudyConfig(embedders=("lbph", "arcface-r34"), detector="haar-frontalface")
    assert {state.state for state in states(config)} >= {"ready"}
    with pytest.raises(AssetUnavailable, match="arcface-r34"):
        usable(config)
