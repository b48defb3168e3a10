"""The rating page in a real browser: a whole session by keyboard, a reload in the middle, export, and the ratings read back."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from faceworks import image
from faceworks.study import begin
from faceworks.study import config as configuration
from faceworks.study import manifest as manifests
from faceworks.study.rating_page import rating_page
from faceworks.study.ratings import exclude, load_files, reliability

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [1280, 390])
def test_a_session_by_keyboard(tmp_path: Path, width: int) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    for person in range(4):
        for number, name in enumerate(("neutral", "happy", "sad")):
            (tmp_path / "s" / f"{person}").mkdir(parents=True, exist_ok=True)
            image.save(
                tmp_path / "s" / f"{person}" / f"{name}.png", np.random.default_rng(3 * person + number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            )
    begin(tmp_path / "s", language="ko")
    config, manifest = configuration.load(tmp_path / "s" / "study.toml"), manifests.read(tmp_path / "s" / "manifest.csv")
    text, data = rating_page(config, manifest, raters=2)
    (tmp_path / "rate.html").write_text(text, encoding="utf-8")
    faults: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for code in ("R1", "R2"):
            page = browser.new_context(viewport={"width": width, "height": 860}, accept_downloads=True).new_page()
            page.on("console", lambda message: faults.append(message.text))
            page.on("pageerror", lambda error: faults.append(str(error)))
            page.goto((tmp_path / "rate.html").as_uri())
            page.keyboard.press("Space")  # consent has the focus
            page.keyboard.press("Tab")
            page.keyboard.type(code)
            page.keyboard.press("Enter")
            block = data["blocks"][int(code[1]) - 1]
            for number, trial in enumerate(block):
                assert page.evaluate("document.documentElement.scrollWidth") <= width
                label = trial.get("expected") or manifest_condition(manifest, data["items"][trial["item"]]["picture"])
                page.keyboard.press(str(data["choices"].index(label) + 1))
                if trial["kind"] != "check":
                    page.keyboard.press("ArrowRight")
                    page.keyboard.press("Enter")
                    assert page.locator("#original").is_hidden()
                    if number == 4:
                        page.reload()  # the two answers so far are still there
                        assert page.locator("#q-emotion button[aria-pressed=true]").get_attribute("data-value") == label
                        assert page.locator("#q-intensity output").inner_text() == "51"
                    for key in ("7", "3", "5", "y"):
                        page.keyboard.press(key)
                    assert page.locator("#original").is_visible()
                    page.keyboard.press("ArrowLeft")
                page.keyboard.press("Enter")
            for form in ("csv", "json"):
                with page.expect_download() as download:
                    page.click(f"#{form}")
                download.value.save_as(tmp_path / f"{code}.{form}")
            page.close()
        browser.close()
    assert faults == []
    names = [item.name for item in manifest.pictures]
    rows = load_files([tmp_path / f"{code}.{form}" for code in ("R1", "R2") for form in ("csv", "json")], names, config.ratings)
    with (tmp_path / "R1.csv").open(encoding="utf-8-sig", newline="") as file:
        assert len(list(csv.DictReader(file))) * 2 == len(rows)
    kept = exclude(rows, configuration.Scales(min_seconds=0.0))
    assert not kept.excluded
    assert kept.raters == 2
    table = {row["question"]: row for row in reliability(kept, config.ratings)}
    assert table["emotion"]["alpha"] == pytest.approx(1.0)
    assert table["emotion"]["pictures"] == 8
    assert table["valence"]["answers"] == 16


def manifest_condition(manifest: manifests.Manifest, name: str) -> str:
    return next(item.condition for item in manifest.pictures if item.name == name)
