"""The strict loader, and the schema tried against drafts of cards that no code can serve yet."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from faceworks import cards, settings
from faceworks.cards import Card, options, parse
from faceworks.errors import CardError, LicenseRefused, UnknownModel
from made_cards import card_head

DRAFTS = Path(__file__).parent / "cards_drafts"
GOOD = (
    card_head("mine")
    + """[[file]]
role = "model"
sha256 = "{hash}"
from = ["https://example.org/mine.onnx"]
[[input]]
crop = "arcface-112x112"
size = [112, 112]
[[output]]
name = "embedding"
kind = "embedding"
dim = 128
[[threshold]]
metric = "cosine"
kind = "similarity"
value = 0.4
source = "here"
[decode]
""".replace("{hash}", "0" * 64)
)


def draft(name: str) -> Card:
    path = DRAFTS / f"{name}.toml"
    return parse(path.read_text(encoding="utf-8"), str(path))


# --- strictness ------------------------------------------------------------------------------------------------------------------------------


def test_the_good_card_loads() -> None:
    card = parse(GOOD, "mine.toml")
    assert card.file[0].from_ == ("https://example.org/mine.onnx",)
    assert card.input[0].mean == (0.0, 0.0, 0.0)
    assert card.threshold_for("cosine") is card.threshold[0]
    assert card.threshold_for("euclidean") is None


WRONG = {
    "unknown key": ('adapter = "onnx"', 'adapter = "onnx"\nadaptor = "onnx"', "unknown key 'adaptor'; allowed: .*adapter"),
    "unknown key in a table": ('role = "model"\nsha', 'role = "model"\nsize = 3\nsha', r"file\[0\]: unknown key 'size'; allowed: .*bytes"),
    "path is not a key": ("schema = 1", 'schema = 1\npath = "x"', "unknown key 'path'"),
    "wrong type": ("dim = 128", 'dim = "128"', r"output\[0\]: dim: must be int, got str"),
    "bool for int": ("dim = 128", "dim = true", "dim: must be int, got bool"),
    "bool for float": ("value = 0.4", "value = true", "value: must be float, got bool"),
    "int for bool": ("commercial_use = true", "commercial_use = 1", "commercial_use: must be bool, got int"),
    "float for int": ("size = [112, 112]", "size = [112.0, 112]", r"size\[0\]: must be int, got float"),
    "string for list": ('from = ["https://example.org/mine.onnx"]', 'from = "https://example.org/mine.onnx"', "from: must be a list, got str"),
    "list for table": ("[license]", "[[license]]", "license: must be a table, got list"),
    "number for table": ("[decode]", "", ""),
    "missing license": (r"[license]" + '\ncode = "MIT"\nweights = "MIT"\ncommercial_use = true\n', "", "the key 'license' is missing"),
    "missing license of the weights": ('weights = "MIT"\n', "", "license: the key 'weights' is missing"),
    "empty license": ('weights = "MIT"', 'weights = " "', "license.weights must not be empty"),
    "missing paper": ('paper = "none"\n', "", "the key 'paper' is missing"),
    "empty paper": ('paper = "none"', 'paper = ""', "paper must not be empty"),
    "missing checksum": (f'sha256 = "{"0" * 64}"\n', "", "exactly one of sha256, git_blob and pin"),
    "two hashes": ('role = "model"\nsha', f'role = "model"\ngit_blob = "{"0" * 40}"\nsha', "exactly one of sha256, git_blob and pin"),
    "hash and pin": ('role = "model"\nsha', 'role = "model"\npin = "first-use"\nsha', "exactly one of sha256, git_blob and pin"),
    "short hash": ("0" * 64, "0" * 63, "sha256 must be 64 lower-case hexadecimal digits"),
    "upper-case hash": ("0" * 64, "A" * 64, "sha256 must be 64 lower-case hexadecimal digits"),
    "no source": ('from = ["https://example.org/mine.onnx"]', "from = []", "from must name at least one source"),
    "missing source": ('from = ["https://example.org/mine.onnx"]\n', "", "the key 'from' is missing"),
    "no file": (
        '[[file]]\nrole = "model"\nsha256 = "' + "0" * 64 + '"\nfrom = ["https://example.org/mine.onnx"]\n',
        "",
        r"needs at least one \[\[file\]\] or \[\[part\]\]",
    ),
    "two files of one role": (
        "[[input]]",
        f'[[file]]\nrole = "model"\nsha256 = "{"1" * 64}"\nfrom = ["https://example.org/b"]\n[[input]]',
        "two files have the same role",
    ),
    "another schema": ("schema = 1", "schema = 2", "schema 2 is not known; this version reads schema 1"),
    "unknown task": ('task = "embed"', 'task = "embedding"', "task: must be one of 'detect', 'landmark', 'embed'"),
    "unknown color": ("size = [112, 112]", 'size = [112, 112]\ncolor = "HSV"', "color: must be one of 'RGB', 'BGR', 'GRAY'"),
    "three sides": ("size = [112, 112]", "size = [3, 112, 112]", r"size must be \[height, width\]"),
    "no side": ("size = [112, 112]", "size = [0, 112]", r"size must be \[height, width\]"),
    "two means": ("size = [112, 112]", "size = [112, 112]\nmean = [1, 2]", "mean needs 3 numbers for RGB, got 2"),
    "three means for gray": ("size = [112, 112]", 'size = [112, 112]\ncolor = "GRAY"\nmean = [1, 2, 3]', "mean needs 1 numbers for GRAY, got 3"),
    "zero std": ("size = [112, 112]", "size = [112, 112]\nstd = [1, 0, 1]", "std must not hold 0"),
    "multiple of nothing": ("size = [112, 112]", "size = [112, 112]\nmultiple = 0", "multiple must be at least 1"),
    "no dim": ("dim = 128\n", "", "an embedding needs dim"),
    "classes without labels": ('kind = "embedding"\ndim = 128', 'kind = "classes"', "classes needs labels or weights"),
    "threshold of no direction": ('kind = "similarity"\n', "", "the key 'kind' is missing"),
    "threshold of no origin": ('source = "here"', "", "the key 'source' is missing"),
    "free for commerce against its license": ('weights = "MIT"', 'weights = "non-commercial research only"', "commercial_use = true contradicts"),
    "unknown license for commerce": ('weights = "MIT"', 'weights = "unknown"', "commercial_use = true contradicts"),
    "another name": ('name = "mine"', 'name = "yours"', "the file must be called yours.toml"),
    "not TOML": ("schema = 1", "schema = = 1", "not valid TOML"),
    "infinite threshold": ("value = 0.4", "value = inf", "finite"),
    "mean that is no number": ("size = [112, 112]", "size = [112, 112]\nmean = [nan, 0, 0]", "finite"),
}
del WRONG["number for table"]


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_card_is_refused_naming_file_and_key(what: str) -> None:
    old, new, message = WRONG[what]
    assert GOOD.count(old) >= 1, old
    with pytest.raises(CardError, match=message) as caught:
        parse(GOOD.replace(old, new, 1), "folder/mine.toml")
    assert "folder/mine.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_card_is_frozen_with_its_tables() -> None:
    card = parse(GOOD + "min_score = 0.5", "mine.toml")
    with pytest.raises(TypeError):
        card.decode["min_score"] = 0.1  # type: ignore[index]
    with pytest.raises(AttributeError):
        card.name = "other"  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Decode:
    min_score: float
    strides: tuple[int, ...]
    iou: float = 0.3


def test_decode_is_checked_against_the_adapters_options() -> None:
    card = parse(GOOD + "min_score = 1\nstrides = [8, 16]", "mine.toml")
    assert options(card, Decode) == Decode(1.0, (8, 16), 0.3)
    for text, message in (
        ("min_score = 0.5", "the key 'strides' is missing"),
        ("min_score = 0.5\nstrides = [8]\nstride = 3", "unknown key 'stride'; allowed: iou, min_score, strides"),
        ("min_score = 0.5\nstrides = [8.5]", r"strides\[0\]: must be int"),
    ):
        with pytest.raises(CardError, match=message) as caught:
            options(parse(GOOD + text, "mine.toml"), Decode)
        assert "card mine: [decode]" in str(caught.value)


def test_missing_roles_are_named() -> None:
    card = parse(GOOD, "mine.toml")
    with pytest.raises(CardError, match="no file with the role 'pnet'; it has model"):
        card.file_for("pnet")
    with pytest.raises(CardError, match="no input with the role 'pnet'; it has model"):
        card.input_for("pnet")


# --- the catalog -----------------------------------------------------------------------------------------------------------------------------


def test_unknown_models_point_to_the_nearest() -> None:
    with pytest.raises(UnknownModel, match="did you mean sface-2021dec"):
        cards.get("sface-2021de")
    with pytest.raises(UnknownModel, match=r"no detect model is called 'sface-2021dec-int8bq' \(sface-2021dec-int8bq is for the task 'embed'\)"):
        cards.get("sface-2021dec-int8bq", "detect")


def user_card(folder: Path, task: str, text: str, name: str = "mine") -> None:
    (folder / "cards" / task).mkdir(parents=True, exist_ok=True)
    (folder / "cards" / task / f"{name}.toml").write_text(text, encoding="utf-8")


def test_a_users_card_is_found_at_once(empty_cache: Path) -> None:
    assert "mine" not in cards.names()
    user_card(empty_cache, "embed", GOOD)
    assert "mine" in cards.names("embed")
    assert cards.get("mine").path.startswith(str(empty_cache))


def test_a_users_card_must_not_hide_a_packaged_one(empty_cache: Path) -> None:
    user_card(empty_cache, "embed", GOOD, "sface-2021dec-int8bq")
    with pytest.raises(CardError, match="two cards are called 'sface-2021dec-int8bq'"):
        cards.names()


def test_a_card_lies_in_the_folder_of_its_task(empty_cache: Path) -> None:
    user_card(empty_cache, "detect", GOOD)
    with pytest.raises(CardError, match="belongs into the folder embed/"):
        cards.get("mine")


def test_a_card_that_is_not_text(empty_cache: Path) -> None:
    user_card(empty_cache, "embed", GOOD)
    (empty_cache / "cards" / "embed" / "mine.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(CardError, match="cannot be read"):
        cards.get("mine")


def test_a_policy_refuses_weights() -> None:
    card = draft("scrfd-10g-kps")
    cards.check_license(card)
    with pytest.raises(LicenseRefused, match="non-commercial research only"):
        cards.check_license(card, "commercial")
    with settings.use(license="commercial"), pytest.raises(LicenseRefused):
        cards.check_license(card)
    cards.check_license(cards.get("sface-2021dec-int8bq"), "commercial")


# --- drafts ----------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(DRAFTS.glob("*.toml")), ids=lambda path: path.stem)
def test_every_draft_loads_and_says_everything_it_was_given(path: Path) -> None:
    """Nothing of the file is lost on the way into the dataclass."""
    card = parse(path.read_text(encoding="utf-8"), str(path))
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    assert len(card.file) == len(table["file"])
    for key in ("input", "output", "threshold"):
        for spec, raw in zip(getattr(card, key), table.get(key, []), strict=True):
            for name, value in raw.items():
                assert getattr(spec, name) == (tuple(value) if isinstance(value, list) else value)
    assert dict(card.decode) == table.get("decode", {})
    for file in card.file:
        for source in file.from_:
            assert re.match(r"(pypi|pypi-sdist|npm|deb|https):", source)


def test_mtcnn_has_three_networks_with_a_size_each() -> None:
    @dataclass(frozen=True, slots=True)
    class Cascade:
        min_face: int
        pyramid: float
        scores: tuple[float, ...]
        iou: tuple[float, ...]
        cell: int
        stride: int

    card = draft("mtcnn")
    assert [card.file_for(role).convert_options["network"] for role in ("pnet", "rnet", "onet")] == ["pnet", "rnet", "onet"]
    assert [card.input_for(role).size for role in ("pnet", "rnet", "onet")] == [(), (24, 24), (48, 48)]
    assert options(card, Cascade).scores == (0.6, 0.7, 0.7)


def test_mmod_pyramid_and_window_fit_into_decode() -> None:
    @dataclass(frozen=True, slots=True)
    class Window:
        min_score: float
        window: tuple[int, ...]
        stride: int
        origin: int
        iou: float
        covered: float
        pyramid: float
        tile_padding: int
        outer_padding: int

    found = options(draft("dlib-mmod"), Window)
    assert (found.window, found.stride, found.origin) == ((80, 80), 8, 14)
    assert found.pyramid == pytest.approx(5 / 6)


def test_scrfd_says_anchors_and_forbids_commerce() -> None:
    card = draft("scrfd-10g-kps")
    assert not card.license.commercial_use
    assert card.decode["anchors"] == 2


def test_minifasnet_is_two_networks_over_two_crops_with_one_answer() -> None:
    card = draft("minifasnet")
    assert [(item.role, item.crop, item.border, item.color, item.std) for item in card.input] == [
        ("v2", "box:2.7", "shift", "BGR", (1.0, 1.0, 1.0)),
        ("v1se", "box:4.0", "shift", "BGR", (1.0, 1.0, 1.0)),
    ]
    assert {(item.attribute, item.combine, item.activation, item.labels[1]) for item in card.output} == {("liveness", "sum", "softmax", "real")}
    assert {item.role for item in card.output} == {item.role for item in card.file}


def test_emonet_has_one_distribution_and_two_values() -> None:
    card = draft("emonet-8")
    assert [(item.attribute, item.kind, item.range) for item in card.output] == [
        ("emotion", "classes", ()),
        ("valence", "value", (-1.0, 1.0)),
        ("arousal", "value", (-1.0, 1.0)),
    ]
    assert card.input_for().crop == "box:1.0"
    assert card.file_for().ignore == ("num_batches_tracked",)


def test_age_is_an_expectation_over_81_years() -> None:
    output = draft("age-cydral").output[0]
    assert output.weights == (0.25, *map(float, range(1, 81)))
    assert draft("age-cydral").input_for().landmarker == "dlib-5"


def test_dlib_resnet_decides_by_a_distance() -> None:
    card = draft("dlib-resnet-v1")
    threshold = card.threshold_for("euclidean")
    assert threshold is not None
    assert (threshold.kind, threshold.value) == ("distance", 0.6)
    assert card.input_for().scheme == "dlib5"


@pytest.mark.parametrize(("typed", "first"), [("sfase", "sface-2021dec"), ("yunnet", "yunet-2023mar"), ("retinaface", "retinaface")])
def test_a_misspelled_family_points_to_its_members(typed: str, first: str) -> None:
    with pytest.raises(UnknownModel, match=f"did you mean {first}"):
        cards.get(typed)
