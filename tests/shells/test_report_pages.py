"""Reports opened in a browser: wide and narrow screens, light and dark, print. Needs Playwright and a Chromium; skipped with a reason without."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceworks.evaluate import evaluate_scores, val_curve
from faceworks.evaluate.comparison import Difference, PairedComparison
from faceworks.evaluate.document import Document, Section, Table, to_html, to_markdown, write_report
from faceworks.evaluate.experiments import Level
from faceworks.evaluate.file_pages import comparison_page, facts_page, levels_page, scores_page, val_page
from faceworks.evaluate.metrics import McNemar

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)


def scores_file(folder: Path) -> Path:
    random = np.random.default_rng(0)
    labels = np.arange(2000) < 800
    scores = random.normal(0, 0.12, 2000) + 0.6 * labels
    rows = [f"{s:.5f},{int(x)},p{k // 2},{f'p{k // 2}' if x else f'p{k // 2 + 1}'}" for k, (s, x) in enumerate(zip(scores, labels, strict=True))]
    path = folder / "scores.csv"
    path.write_text("score,label,person_a,person_b\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    folder = tmp_path_factory.mktemp("scores")
    document = evaluate_scores(scores_file(folder))
    (folder / "i.csv").write_text(
        "probe,predicted,score\n" + "".join(f"{p},{q},{s}\n" for p, q, s in (("a", "a", 0.9), ("b", "a", 0.4), ("", "b", 0.5)))
    )
    levels = [
        Level("untouched", 0.99, 0.001, (0.98, 0.995), 1e-3, 0.97, (0.95, 0.98), 0),
        Level("jpeg 10", 0.9, 0.004, (0.88, 0.92), 1e-3, 0.7, (0.6, 0.8), 3),
        Level("jpeg 90", 0.98, 0.002, (0.97, 0.99), 1e-3, None, None, 0),
    ]
    compared = PairedComparison("first", "second", 10, 9, McNemar(3, 1, 0.625), 0.625, (Difference("accuracy", 0.9, 0.7, 0.2, (-0.1, 0.4)),))
    return {
        "scores": scores_page(document),
        "identification": scores_page(evaluate_scores(folder / "i.csv")),
        "levels": levels_page("Sensitivity: robustness", levels),
        "comparison": comparison_page([compared]),
        "val": val_page("scores.csv", val_curve([0.9, 0.8, 0.2, 0.1], [1, 1, 0, 0])),
        "facts": facts_page("Agreement <script>alert(1)</script>", [("a|b", "https://example.org/" + "long" * 60)]),
    }


def test_pages_say_what_was_measured(pages: dict[str, Document], tmp_path: Path) -> None:
    html = {name: to_html(page) for name, page in pages.items()}
    assert html["scores"].count("<svg") == 4, "ROC, DET, scores, and what is accepted at a threshold"
    assert "rank 1 50.00 %" in html["identification"]
    assert "Open set" in html["identification"]
    assert html["levels"].count("<svg") == 1, "one varied quantity with two levels"
    assert "p = 0.625" in html["comparison"]
    assert "VAL" in html["val"]
    assert "<script" not in html["facts"], "text is escaped"
    assert "a\\|b" in to_markdown(pages["facts"])
    for text in html.values():
        assert not re.search(r"""(src|href)=["']?(?!data:)""", text), "nothing is loaded from elsewhere"
    write_report({"x": 1}, pages["facts"], tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["report.html", "report.json", "report.md"]


def test_markdown_has_every_table() -> None:
    page = Document("T", "L", [Section("S", "words", [Table(("a", "b"), [("1", "2")])]), Section("only a chart", charts=["<svg></svg>"])])
    assert to_markdown(page) == "# T\n\nL\n\n## S\n\nwords\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


LUMINANCE = """selector => {
  const style = getComputedStyle(document.querySelector(selector));
  const lum = text => { const c = text.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
    return .2126 * c[0] + .7152 * c[1] + .0722 * c[2]; };
  const back = lum(getComputedStyle(document.body).backgroundColor);
  const front = lum(selector.startsWith('svg') ? style.fill : style.color);
  return (Math.max(back, front) + .05) / (Math.min(back, front) + .05);
}"""
"""Contrast of an element's text with the page (WCAG 2): 4.5 is the least for text."""


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "light"), (1280, "dark"), (390, "dark")])
def test_in_a_browser(browser: Any, pages: dict[str, Document], tmp_path: Path, width: int, scheme: str) -> None:
    for name, document in pages.items():
        path = tmp_path / f"{name}.html"
        path.write_text(to_html(document), encoding="utf-8")
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        asked, complaints = [], []
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.on("console", lambda message, complaints=complaints: complaints.append(message.text))
        page.goto(path.as_uri())
        assert asked == [path.as_uri()], "self-contained"
        assert not complaints
        assert page.evaluate("document.documentElement.scrollWidth") <= width, f"{name} scrolls sideways at {width} px"
        for selector in ("h1", "p", "td", "th", *(["svg .ink", "svg .soft"] if "<svg" in path.read_text(encoding="utf-8") else [])):
            if page.query_selector(selector):
                assert page.evaluate(LUMINANCE, selector) >= 4.5, f"{selector} in {name}, {scheme}"
        page.close()


@pytest.mark.slow
def test_on_paper(browser: Any, pages: dict[str, Document], tmp_path: Path) -> None:
    """A4, from a dark screen: dark ink on white, nothing wider than the page."""
    (tmp_path / "r.html").write_text(to_html(pages["scores"]), encoding="utf-8")
    page = browser.new_page(viewport={"width": 718, "height": 1000}, color_scheme="dark")
    page.goto((tmp_path / "r.html").as_uri())
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(LUMINANCE, "td") >= 4.5
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.close()
