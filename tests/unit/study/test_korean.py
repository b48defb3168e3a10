"""A Korean report is Korean: headings, heads of tables, captions, warnings and notes; and whatever the code says has a translation."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import faceworks.study
from faceworks.study import report
from faceworks.study.methods import methods
from faceworks.study.run import config_of
from faceworks.study.words import KOREAN, speaker

SOURCES = Path(faceworks.study.__file__).parent
KEPT = re.compile(
    r"https?\S+|\S+\.(?:csv|json|tex|docx|svg|pdf|png)|faceworks study \w+(?: DIR --ratings FILE)?|[\w]+-[\w-]+|value ~ [^<]*|1 − P|95 %|SHA-256|ΔE2000"
    r"|LFW,[^,]*,[\d ]*[^,]*,?[^,]*deep-funneled",  # the data set of a calibration
    re.ASCII,
)
WORDS = re.compile(r"[A-Za-z]{2,}[ ,;:]+[a-z]{2,}|\b(?:the|of|and|is|are|not|with|for|identity|edit|people|source)\b")
"""Two English words in a row, or a common one: names of models and statistics are single words."""


class Texts(HTMLParser):
    """Text by element, without what is drawn, styled, code, or said in English on purpose."""

    SKIPPED = ("style", "svg", "code", "title")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._stack: list[tuple[str, bool]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br", "link"):
            self._stack.append((tag, tag in self.SKIPPED or dict(attributes).get("lang") == "en"))

    def handle_endtag(self, tag: str) -> None:
        while self._stack and self._stack.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if data.strip() and self._stack and not any(skip for _, skip in self._stack):
            self.found.append((self._stack[-1][0], " ".join(data.split())))


def english_left(page: str) -> list[str]:
    reader = Texts()
    reader.feed(page)
    assert len(reader.found) > 100
    kept = [
        (tag, text)
        for tag, text in reader.found
        if not re.search(r"\b(?:Network|network|model|trained|points|Detector|detector)\b", text) or tag != "td"
    ]
    return [f"{tag}: {text}" for tag, text in kept if WORDS.search(KEPT.sub(" ", text))]


def test_every_text_of_the_code_has_a_translation() -> None:
    used: set[str] = set()
    for path in SOURCES.glob("*.py"):
        text = re.sub(r'"\s*\n\s*"', "", path.read_text(encoding="utf-8"))
        used |= set(re.findall(r'\b(?:say|_say)\(\s*(?:config,\s*)?"([^"]+)"', text))
        used |= set(re.findall(r'caption = \(?\s*"([^"]+)"', text)) | set(re.findall(r'note = "([^"]+)"', text))
    used |= set(re.findall(r'\bt\("([^"]+)"', (SOURCES / "templates" / "report.html").read_text(encoding="utf-8")))
    assert len(used) > 100
    assert sorted(text for text in used if text not in KOREAN and re.search("[a-z]", text)) == []
    for english, korean in KOREAN.items():
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", korean)), english


def test_the_speaker() -> None:
    assert speaker("ko")("Margin {margin} SD. Positive = loss of identity.", margin=1.0).startswith("동등성 한계 1.0 SD")
    assert speaker("ko")("dlib-resnet-v1") == "dlib-resnet-v1"
    assert speaker("en")("κ {value}", value=3) == "κ 3"


@pytest.fixture
def korean(study: Path, tmp_path: Path, run: Callable[..., dict[str, Any]], request: pytest.FixtureRequest) -> tuple[dict[str, Any], Path]:
    """A report with every section: few people, one embedder, no calibration, a stand-in, controls, ratings by people and by an outside model."""
    tools = importlib.import_module("faceworks.study.manifest")
    manifest = study / tools.FILE
    kept = [
        line
        for line in manifest.read_text(encoding="utf-8-sig").splitlines()
        if not line.startswith(("08", "09", "10", "11")) and "/neutral" not in line
    ]
    kept = [line + "identity swap" if line.startswith("07,07/sad") else line for line in kept]
    manifest.write_text("\n".join(kept) + "\n", encoding="utf-8")
    (study / "study.toml").write_text(
        'language = "ko"\nembedders = ["dlib-resnet-v1"]\nemotion = ["emotion-mini-xception"]\naffect = "affect-from-emotion"\nbootstrap = 200\n',
        encoding="utf-8",
    )
    out = tmp_path / "out"
    run(study, out, draw=getattr(request, "param", False))
    lines = ["rater,picture,question,value,order,seconds,kind,expected,source"]
    for rater, source, seconds in (("R1", "human", 4), ("R2", "human", 4), ("R3", "human", 0.1), ("모델 (2026-01-31)", "ai", "")):
        for person in range(7):
            for number, condition in enumerate(("happy", "sad", "angry")):
                values = {
                    "emotion": condition,
                    "intensity": 20 * number + person,
                    "valence": 1 + (person + number) % 9,
                    "arousal": 5,
                    "naturalness": 4,
                }
                lines += [
                    f"{rater},{person:02d}/{condition}.png,{name},{value},{person},{seconds},rating,,{source}" for name, value in values.items()
                ]
    (tmp_path / "ratings.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return report(out, [tmp_path / "ratings.csv"]), out


def test_no_english_is_left_in_a_korean_report(korean: tuple[dict[str, Any], Path]) -> None:
    document, out = korean
    found = document["results"]
    assert len(found["warnings"]) >= 4
    assert found["reliability"]["excluded"] == {"R3": "이미지당 중앙 시간 1초 미만"}
    assert all(re.search("[가-힣]", text) for text in found["warnings"])
    page = (out / "report.html").read_text(encoding="utf-8")
    assert english_left(page) == []
    assert '<html lang="ko">' in page
    paragraphs = methods(document, config_of(document), "ko")
    assert not [text for text in paragraphs if re.search(r"[A-Za-z]{2,} [a-z]{2,} [a-z]{2,}", text)]
    tex = (out / "tables" / "tables.tex").read_text(encoding="utf-8")
    assert "감정과 임베더별 동일성" in tex
    assert "Verified" not in tex
    assert (out / "report.html").read_text(encoding="utf-8").count("읽어 주세요") == 1
    english = report(out, language="en")  # the same run, said in English
    assert english["results"]["warnings"][0].startswith("Only 8 identities")
    assert "Is it still the same person?" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize("korean", [True], indirect=True)
def test_no_english_is_left_in_captions(korean: tuple[dict[str, Any], Path]) -> None:
    page = (korean[1] / "report.html").read_text(encoding="utf-8")
    assert page.count("<figcaption>") > 10
    assert english_left(page) == []
