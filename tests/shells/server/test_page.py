"""The page in Debian's Chromium: every flow, both languages, themes and widths, axe-core. Marked slow; skipped with a reason where a part is missing.

`FACEWORKS_SCREENSHOTS=folder` keeps the pictures for a person to look at.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import subprocess
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from faceworks.server import ServerOptions
from faceworks.server.running import Server, configure
from faceworks.server.security import keys
from faceworks.server.store import Store

pytestmark = [pytest.mark.slow, pytest.mark.assets]
playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install playwright)")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SCORES = "score,label\n" + "".join(f"{0.9 - 0.004 * i:.4f},{int(i < 120 and i % 7 > 0)}\n" for i in range(200))
VIEWS = ("compare", "analyze", "galleries", "evaluations", "studies")


class Service:
    """A real service on a free port."""

    def __init__(self, data: Path) -> None:
        self.options = ServerOptions(data=data, batch=1, attributes=("emotion", "quality"), header_timeout=2)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.server = Server(configure(self.options))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]}, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    found = Service(tmp_path_factory.mktemp("service") / "data")
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            if httpx.get(f"{found.url}/v1/ready").status_code == 200:
                break
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    yield found
    found.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no chromium (apt-get install chromium)")
    with playwright_api.sync_playwright() as driver:
        arguments = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield opened
        opened.close()


class Page:
    """A page that remembers what went wrong and where it asked."""

    def __init__(self, browser: Any, url: str, width: int = 1280, theme: str = "light", language: str = "en") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, locale="ko-KR" if language == "ko" else "en-US",
                                           permissions=["camera"])  # fmt: skip
        self.page = self.context.new_page()
        self.page.set_default_timeout(30_000)
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: None if request.url.startswith((url, "blob:", "data:")) else self.elsewhere.append(request.url))
        self.url = url

    def open(self, view: str) -> Any:
        self.page.goto(f"{self.url}/#{view}")
        self.page.wait_for_selector("main h1")
        return self.page

    def close(self) -> None:
        self.context.close()
        assert not self.elsewhere, self.elsewhere
        unwanted = [
            text for text in self.errors if "401" not in text and "422" not in text
        ]  # refusals that a test asks for are logged by the browser
        assert not unwanted, unwanted


@pytest.fixture
def page(browser: Any, service: Service) -> Iterator[Page]:
    found = Page(browser, service.url)
    yield found
    found.close()


def until(page: Any, expression: str, seconds: float = 30) -> None:
    """Wait until an expression holds. (Playwright's own `wait_for_function` evaluates inside the page, which the page's policy forbids.)"""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        time.sleep(0.05)


def shot(page: Any, name: str) -> None:
    folder = os.environ.get("FACEWORKS_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def compare(page: Any, samples: Mapping[str, Path], b: str = "person_a_2") -> None:
    page.locator("input[type=file]").nth(0).set_input_files(samples["person_a_1"])
    page.locator("input[type=file]").nth(1).set_input_files(samples[b])
    page.locator("main .row.card button").click()
    page.wait_for_selector(".verdict")
    page.wait_for_selector(".result ul.small li")


def test_compare_says_same_and_different(page: Page, samples: Mapping[str, Path]) -> None:
    at = page.open("compare")
    compare(at, samples)
    assert at.locator(".verdict").inner_text() == "Same person"
    assert "similarity" in (at.locator(".scale").get_attribute("aria-label") or "").lower()
    text = at.locator(".result").inner_text()
    assert "MIT" in text or "Apache" in text
    assert "comparisons of different people" in text
    compare(at, samples, "impostor_1")
    until(at, "document.querySelector('.verdict').textContent === 'Different people'")
    at.select_option("main select", "0.00001")
    at.locator("main .row.card button").click()
    until(at, "document.querySelector('.verdict, .result .error') !== null")


def test_paste_and_drop_and_camera(page: Page, samples: Mapping[str, Path]) -> None:
    at = page.open("compare")
    give = """async ([data, kind, place]) => {
        const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], `${kind}.jpg`, {type: 'image/jpeg'}));
        const node = place === null ? document : document.querySelectorAll('.pick')[place];
        const paste = new ClipboardEvent('paste', {clipboardData: transfer, bubbles: true});
        node.dispatchEvent(kind === 'paste' ? paste : new DragEvent('drop', {dataTransfer: transfer, bubbles: true}));
    }"""
    import base64

    data = base64.b64encode(samples["person_a_1"].read_bytes()).decode()
    at.evaluate(give, [data, "paste", None])
    at.wait_for_selector(".pick:nth-of-type(1) canvas:not([hidden])")
    at.evaluate(give, [data, "drop", 1])
    at.wait_for_selector(".pick:nth-of-type(2) canvas:not([hidden])")
    at.locator("main .row.card button").click()
    at.wait_for_selector(".verdict.same")
    at.locator(".pick").nth(0).get_by_role("button", name="Camera").click()
    at.get_by_role("button", name="Take the picture").first.click()
    until(at, "document.querySelector('.pick .hint').textContent === 'camera.jpg'")


def test_analyze_shows_bars_and_doubt(page: Page, samples: Mapping[str, Path]) -> None:
    at = page.open("analyze")
    for name in ("age", "gender"):
        at.uncheck(f"#a-{name}")
    at.check("#a-quality")
    at.locator("input[type=file]").set_input_files(samples["person_a_1"])
    at.get_by_role("button", name="Analyze", exact=True).click()
    at.wait_for_selector(".bar")
    assert at.locator(".bar").count() >= 5
    assert "nats" in at.locator("main").inner_text()
    shot(at, "analyze-answer")


def test_a_gallery_from_creation_to_deletion(page: Page, samples: Mapping[str, Path]) -> None:
    at = page.open("galleries")
    at.get_by_label("New gallery").fill("lab")
    at.get_by_role("button", name="Make").click()
    at.wait_for_selector(".pick")
    at.locator(".pick input[type=file]").nth(0).set_input_files([samples["person_a_1"], samples["person_a_2"]])
    at.get_by_label("Name", exact=True).fill("<b>Ada</b> 러브레이스")
    at.get_by_role("button", name="Enroll", exact=True).click()
    at.wait_for_selector(".person")
    assert at.locator(".person b").inner_text() == "<b>Ada</b> 러브레이스"
    at.locator(".pick input[type=file]").nth(1).set_input_files(samples["person_a_2"])
    at.get_by_role("button", name="Identify").click()
    at.wait_for_selector("main .two b.same")
    shot(at, "gallery-answer")
    at.get_by_role("button", name="Remove: ").click()
    at.wait_for_selector(".toast")
    until(at, "document.querySelectorAll('.person').length === 0")
    at.get_by_role("button", name="Undo").click()
    at.wait_for_selector(".person")
    at.get_by_role("button", name="Details: ").click()
    at.wait_for_selector("dialog[open] table tbody tr")
    at.keyboard.press("Escape")
    at.get_by_role("button", name="Show the log").click()
    at.wait_for_selector("main table tbody tr")
    assert "The chain of hashes holds." in at.locator("main").inner_text()
    at.get_by_role("button", name="Delete this gallery").click()
    at.get_by_role("button", name="Delete", exact=True).click()
    until(at, "!document.querySelector('.pick')")


def test_an_evaluation_with_its_report(page: Page) -> None:
    at = page.open("evaluations")
    at.get_by_label("File").set_input_files({"name": "scores.csv", "mimeType": "text/csv", "buffer": SCORES.encode()})
    at.get_by_label("Name of the data set").fill("made up")
    at.get_by_role("button", name="Begin").click()
    at.wait_for_selector("article table tr")
    text = at.locator("article").inner_text()
    assert "AUC" in text
    assert "95% interval" in text
    with at.context.expect_page() as opened:
        at.get_by_role("link", name="report.json").click()
    opened.value.wait_for_load_state()
    assert '"auc"' in opened.value.content()
    opened.value.close()


def test_many_jobs_leave_the_page_free(page: Page, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A browser has six connections to a host: streams of progress must not take them all."""
    monkeypatch.setattr("faceworks.server.jobs.claim", lambda *_: None)  # nothing begins
    begun = [upload(service, f"waits {index}") for index in range(9)]
    at = page.open("evaluations")
    until(at, "document.querySelectorAll('article progress').length >= 9")
    at.get_by_role("link", name="Galleries").click()
    at.wait_for_selector("main h1:text-is('Galleries')")
    at.get_by_role("link", name="Evaluations").click()
    until(at, "[...document.querySelectorAll('article p')].filter((node) => node.textContent === 'waiting').length === 9")
    assert (
        at.evaluate("Promise.race([fetch('/v1/health').then((answer) => answer.status), new Promise((go) => setTimeout(go, 5000, 'no connection'))])")
        == 200
    )
    for id in begun:
        httpx.post(f"{service.url}/v1/jobs/{id}/cancel")
    until(at, "[...document.querySelectorAll('article p')].filter((node) => node.textContent === 'canceled').length === 9")
    assert all(httpx.delete(f"{service.url}/v1/jobs/{id}").status_code == 204 for id in begun)


def upload(service: Service, dataset: str) -> str:
    begun = httpx.post(f"{service.url}/v1/evaluations", files={"file": ("scores.csv", SCORES)}, data={"kind": "scores", "dataset": dataset})
    return str(begun.json()["id"])


def finished(service: Service, id: str, seconds: float = 300) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while (job := httpx.get(f"{service.url}/v1/jobs/{id}").json())["state"] in ("queued", "running"):
        assert time.monotonic() < end, job
        time.sleep(0.3)
    return dict(job)


FEW = {"1_neutral.jpg": "person_a_1", "1_happy.jpg": "person_a_2", "2_neutral.jpg": "person_b_1", "2_happy.jpg": "person_b_2"}


def archive(samples: Mapping[str, Path]) -> bytes:
    """A study of two people as a zip."""
    rows = "".join(f"{name[0]},{name},{'source' if 'neutral' in name else 'edit'},{name[2:-4]}\n" for name in FEW)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        made.writestr("manifest.csv", "identity,picture,role,condition\n" + rows)
        for name, sample in FEW.items():
            made.writestr(name, samples[sample].read_bytes())
    return out.getvalue()


def test_a_study_from_upload_to_ratings(page: Page, samples: Mapping[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("statsmodels", reason="the extra study")
    pytest.importorskip("docx", reason="the extra study")
    at = page.open("studies")
    at.get_by_label("File").set_input_files({"name": "study.zip", "mimeType": "application/zip", "buffer": archive(samples)})
    at.get_by_label("Name of the study").fill("four pictures")
    at.get_by_role("button", name="Begin").click()
    at.wait_for_selector("article:has-text('four pictures') progress")
    at.wait_for_selector("article >> text=/[1-9] of \\d+ pictures/", timeout=200_000)
    at.wait_for_selector("article >> text=Rate faces", timeout=400_000)
    shot(at, "study-answer")
    with at.context.expect_page() as opened:
        at.get_by_role("link", name="Report", exact=True).click()
    report = opened.value
    report.wait_for_load_state()
    assert report.locator("h1").count() == 1
    assert report.locator("svg, img").count() > 0
    shot(report, "study-report")
    report.close()
    with at.context.expect_page() as opened:
        at.get_by_role("link", name="Rate faces").click()
    rating = opened.value
    data = json.loads(rating.locator("#study").text_content() or "")
    rating.keyboard.press("Space")  # consent has the focus
    rating.keyboard.press("Tab")
    rating.keyboard.type("R1")
    rating.keyboard.press("Enter")
    shot(rating, "study-rating")
    for trial in data["blocks"][0]:
        label = trial.get("expected") or data["items"][trial["item"]]["picture"][2:-4]
        rating.keyboard.press(str(data["choices"].index(label) + 1))
        if trial["kind"] != "check":
            rating.keyboard.press("ArrowRight")  # an intensity
            rating.keyboard.press("Enter")
            for key in ("7", "3", "5", "y"):
                rating.keyboard.press(key)
            rating.keyboard.press("ArrowLeft")
        rating.keyboard.press("Enter")
    with rating.expect_download() as download:
        rating.click("#csv")
    download.value.save_as(tmp_path / "ratings-R1.csv")
    rating.close()
    at.get_by_label("Ratings").set_input_files(tmp_path / "ratings-R1.csv")
    at.get_by_role("button", name="Add ratings").click()
    at.wait_for_selector("article article >> text=done", timeout=200_000)
    assert at.locator("article article a").count() == 1


def test_sign_in_with_a_key(browser: Any, samples: Mapping[str, Path], tmp_path: Path) -> None:
    store = Store(tmp_path / "data" / "service.db")
    _, text = keys.add(store, "reader", "read")
    store.close()
    service = Service(tmp_path / "data")
    try:
        found = Page(browser, service.url)
        at = found.page
        for _ in range(50):
            try:
                at.goto(service.url)
                break
            except playwright_api.Error:
                time.sleep(0.1)
        at.wait_for_selector("form")
        found.errors.clear()
        at.get_by_label("API key").fill("fw_wrong")
        at.keyboard.press("Enter")
        at.wait_for_selector("[role=alert]")
        at.get_by_label("API key").fill(text)
        at.keyboard.press("Enter")
        at.wait_for_selector(".pick")
        assert "reader (reads)" in at.locator("header").inner_text()
        assert text not in at.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
        compare(at, samples)
        at.reload()
        at.wait_for_selector(".pick")
        compare(at, samples)
        at.get_by_role("button", name="Sign out").click()
        at.wait_for_selector("form")
        found.close()
    finally:
        service.stop()


def test_the_keyboard_reaches_everything(page: Page) -> None:
    at = page.open("compare")
    at.keyboard.press("Tab")
    assert at.evaluate("document.activeElement.className") == "skip"
    seen = set()
    for _ in range(20):
        at.keyboard.press("Tab")
        seen.add(
            at.evaluate(
                "document.activeElement.tagName + ':' + (document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim())"
            )
        )
    assert {"A:Compare", "A:Galleries", "INPUT:Picture A: Choose a picture", "INPUT:Picture B: Choose a picture"} <= seen
    assert at.evaluate("getComputedStyle(document.activeElement).outlineStyle") != ""


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_it_fits_and_has_no_serious_finding(
    browser: Any, service: Service, samples: Mapping[str, Path], axe: str, width: int, theme: str, language: str
) -> None:  # fmt: skip
    found = Page(browser, service.url, width, theme, language)
    if not httpx.get(f"{service.url}/v1/evaluations").json()["items"]:
        finished(service, upload(service, "made up"))
    for view in VIEWS:
        at = found.open(view)
        assert at.evaluate("document.documentElement.lang") == language
        if view == "compare":
            compare(at, samples)
        if view == "analyze":
            for name in ("age", "gender"):
                at.uncheck(f"#a-{name}")
            at.check("#a-quality")
            at.locator("input[type=file]").set_input_files(samples["person_b_1"])
            at.locator("main .card button").click()
            at.wait_for_selector(".bar")
        if view == "evaluations":
            at.wait_for_selector("article table")
        if view == "galleries":
            httpx.post(f"{service.url}/v1/galleries", json={"name": "look"})
            for name, sample in (("Ada Lovelace", "person_a_1"), ("김철수", "person_b_1")):
                httpx.post(
                    f"{service.url}/v1/galleries/look/people",
                    data={"name": name},
                    files={"pictures": ("a.jpg", samples[sample].read_bytes())},
                    timeout=60,
                )
            at = found.open("galleries/look")
            at.reload()
            at.wait_for_selector(".person")
            at.locator(".pick input[type=file]").nth(0).set_input_files([samples["person_a_1"], samples["person_a_2"]])
            at.wait_for_selector(".strip canvas")
            at.locator(".pick input[type=file]").nth(1).set_input_files(samples["person_a_2"])
            at.locator("main .two > .card").nth(1).locator("> .row button").click()
            at.wait_for_selector("main .two b.same")
            at.locator("main > div > .card").nth(1).locator("button").click()
            at.wait_for_selector("main td")
        at.wait_for_timeout(400)
        shot(at, f"{view}-{width}-{theme}-{language}")
        assert at.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{view} is wider than {width}"
        assert (
            at.evaluate(
                "[...document.querySelectorAll('button, nav a, select')].filter((n) => n.offsetParent && n.getBoundingClientRect().height < 24).length"
            )
            == 0
        )
        # through the driver: the page's own policy lets no foreign script in
        at.evaluate(axe)
        answer = at.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [f"{item['id']}: {item['nodes'][0]['html'][:200]}" for item in answer["violations"] if item["impact"] in ("serious", "critical")]
        assert not serious, (view, serious)
    found.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core from the npm registry, through its ordinary client."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("axe")
    done = subprocess.run(
        ["npm", "pack", "axe-core@4", "--ignore-scripts", "--json"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode != 0:
        pytest.skip("axe-core cannot be fetched from the npm registry")
    name = json.loads(done.stdout)[0]["filename"]
    with tarfile.open(fileobj=io.BytesIO((folder / name).read_bytes())) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()
