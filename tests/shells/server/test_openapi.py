"""The OpenAPI document, and schemathesis over it: no fault of the service, no answer that is not documented. Also the page's words and files."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faceworks.server import ServerOptions

from .conftest import RED, Client, running

STATIC = Path(__file__).resolve().parents[3] / "src" / "faceworks" / "server" / "static"


def test_every_operation_is_described(client: Client) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation["summary"], (method, path)
            assert operation.get("description"), (method, path)
            open_paths = ("/v1/health", "/v1/ready", "/v1/session")
            assert ("security" in operation) == (path not in open_paths)
            for status in ("422", "429", "503"):
                assert "application/problem+json" in operation["responses"][status]["content"]
    text = json.dumps(document)
    assert "HTTPValidationError" not in text
    for reference in set(re.findall(r'"#/components/schemas/(\w+)"', text)):
        assert reference in document["components"]["schemas"], reference


def test_every_body_answer_and_parameter_has_an_example_that_holds(client: Client) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    document = client.get("/openapi.json").json()

    def holds(example: Any, schema: dict[str, Any]) -> None:
        jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(example)

    for path, item in document["paths"].items():
        for method, operation in item.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                holds(content["example"], content["schema"])
            for status, answer in operation["responses"].items():
                for kind, content in answer.get("content", {}).items():
                    if "json" in kind and content["schema"]:
                        holds(content["example"], content["schema"])
                    if kind.startswith("text/") and content["schema"]:
                        assert content["example"], (method, path, status)
            for parameter in operation.get("parameters", ()):
                holds(parameter["example"], parameter["schema"])


def _schemathesis() -> Any:
    return pytest.importorskip("schemathesis", reason="schemathesis is not installed (pip install schemathesis)")


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service that many requests may ask, with networks that need no weights and one person in a gallery."""
    import importlib

    from faceworks import api, settings

    from ..conftest import FakeDetector, FakeEmbedder

    module = importlib.import_module("faceworks.pipeline")
    with pytest.MonkeyPatch.context() as patch, settings.use(cache=tmp_path_factory.mktemp("cache"), offline=True, mirrors=()):
        api._cached.cache_clear()
        patch.setattr(module, "load_detector", lambda *_: FakeDetector())
        patch.setattr(module, "load_embedder", lambda *_: FakeEmbedder())
        options = ServerOptions(data=tmp_path_factory.mktemp("d"), batch=1, attributes=("quality",), rate=1e6, burst=1_000_000, timeout=20)
        with running(options) as client:
            client.post("/v1/galleries", json={"name": "staff"})
            client.post("/v1/galleries/staff/people", files={"pictures": ("a.png", RED)}, data={"name": "Ada"})
            yield client
        api._cached.cache_clear()


def fuzz(client: Client, examples: int) -> int:
    """Call every operation with `examples` generated requests; the number of calls. Raises on a fault or an undocumented answer."""
    schemathesis = _schemathesis()
    import hypothesis
    from requests import PreparedRequest
    from schemathesis.checks import not_a_server_error
    from schemathesis.core.transport import Response
    from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

    document = client.app.openapi()
    for item in document["paths"].values():  # an upload of a job begins a process: its refusals are tried, its success in test_jobs
        for operation in item.values():
            operation.pop("deprecated", None)
    schema = schemathesis.openapi.from_dict(document)
    calls = 0

    for result in schema.get_all_operations():
        operation = result.ok()

        @hypothesis.settings(
            max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(hypothesis.HealthCheck)
        )
        @hypothesis.given(case=operation.as_strategy())
        def one(case: Any) -> None:
            nonlocal calls
            calls += 1
            for name in [name for name in case.headers or {} if name.lower() == "authorization"]:
                del case.headers[name]  # an invented key is answered 401, which the role matrix tries; here the rest is
            arguments = case.as_transport_kwargs(base_url="http://127.0.0.1:8000")
            prepared = PreparedRequest()
            names = ("method", "url", "headers", "files", "data", "json", "params", "cookies")
            prepared.prepare(**{name: arguments.get(name) for name in names if arguments.get(name) is not None})
            body = prepared.body or b""
            body = body.encode() if isinstance(body, str) else body
            headers = [
                (name.encode(), value if isinstance(value, bytes) else value.encode("utf-8", "replace")) for name, value in prepared.headers.items()
            ]
            url = str(prepared.url).removeprefix("http://127.0.0.1:8000")
            found = client.request(str(prepared.method), url, content=bytes(body), headers=headers)
            answered: dict[str, list[str]] = {}
            for name, value in found.headers.multi_items():
                answered.setdefault(name.lower(), []).append(value)
            answer = Response(found.status_code, answered, found.content, prepared, 0.0, False, encoding="utf-8")
            checks = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
            case.validate_response(answer, checks=checks)

        one()
    return calls


def test_schemathesis_finds_no_fault_and_no_undocumented_answer(fuzzed: Client) -> None:
    assert fuzz(fuzzed, 6) > 100


@pytest.mark.slow
def test_schemathesis_for_longer(fuzzed: Client) -> None:
    assert fuzz(fuzzed, 60) > 1000


# --- the page's files ------------------------------------------------------------------------------------------------------------------------


def words() -> dict[str, tuple[str, str]]:
    """The table of English and Korean, read from the script."""
    text = (STATIC / "text.js").read_text(encoding="utf-8")
    table = text.partition("export const TEXT = {\n")[2].partition("\n};\n")[0]
    rows = [re.fullmatch(r'  (\w+): \["((?:[^"\\]|\\.)*)", "((?:[^"\\]|\\.)*)"\],', line) for line in table.splitlines()]
    assert all(rows), "a line is a key and two texts"
    found = {row[1]: (row[2], row[3]) for row in rows if row}
    assert len(found) == len(rows), "no key stands twice"
    return found


def test_both_languages_say_everything() -> None:
    assert len(words()) > 150
    for key, (english, korean) in words().items():
        assert set(re.findall(r"\{(\w+)\}", english)) == set(re.findall(r"\{(\w+)\}", korean)), key
        assert english.strip(), key
        assert re.search("[가-힣]", korean) or english == korean or not re.search("[A-Za-z]{3}", korean), (key, korean)


def test_every_word_is_used_and_every_use_is_a_word() -> None:
    known = set(words())
    scripts = "".join(path.read_text(encoding="utf-8") for path in STATIC.iterdir() if path.suffix in (".js", ".html") and path.name != "text.js")
    used = set(re.findall(r'\bt\("(\w+)"', scripts)) | set(re.findall(r'data-(?:t|label)="(\w+)"', scripts))
    assert used <= known, used - known
    scripts += (STATIC / "text.js").read_text(encoding="utf-8").partition("\n};\n")[2]
    named = set(re.findall(r"\b\w+\b", scripts))
    labels = {"race", "intensity", "age_band", "happy", "neutral", "sad", "angry", "fear", "surprise", "disgust", "contempt", "female", "male", "real", "fake",
              "yaw", "pitch", "roll", "years", "degrees", "detector", "embedder", "landmarker", "queued", "canceled",
              "role_read", "role_enroll", "role_admin"}  # fmt: skip
    idle = {key for key in known - named - labels if not key.startswith(("m_", "p_", "did_"))}
    assert not idle, "words that nothing says"


def test_the_page_asks_nobody_else_and_holds_nothing_inline() -> None:
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        addresses = set(re.findall(r"https?://[^\s\"'`)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not addresses, (path.name, addresses)
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", text), path.name
    html = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", html)


@pytest.mark.parametrize("path", sorted(STATIC.glob("*.js")), ids=lambda path: path.name)
def test_the_scripts_are_well_formed(path: Path, tmp_path: Path) -> None:
    import shutil

    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    copy = tmp_path / f"{path.stem}.mjs"
    copy.write_bytes(path.read_bytes())
    done = subprocess.run(["node", "--check", str(copy)], capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
