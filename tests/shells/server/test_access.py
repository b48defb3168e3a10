"""Who may do what: every route × every role × no key; sessions and their token; rates; several workers agree."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faceworks.server import ServerOptions, schemas
from faceworks.server.security import keys, sessions

from .conftest import RED, Client, fake_networks, pair, running  # noqa: F401

READ, ENROLL, ADMIN = 0, 1, 2
ROUTES = {
    ("POST", "/v1/verify"): READ, ("POST", "/v1/detect"): READ, ("POST", "/v1/analyze"): READ, ("POST", "/v1/embed"): READ, ("GET", "/v1/models"): READ,
    ("GET", "/v1/metrics"): READ, ("GET", "/v1/galleries"): READ, ("GET", "/v1/galleries/{name}"): READ, ("POST", "/v1/galleries/{name}/identify"): READ,
    ("GET", "/v1/galleries/{name}/people"): READ, ("GET", "/v1/galleries/{name}/people/{person}"): READ,
    ("POST", "/v1/galleries/{name}/people"): ENROLL, ("PATCH", "/v1/galleries/{name}/people/{person}"): ENROLL,
    ("DELETE", "/v1/galleries/{name}/people/{person}"): ENROLL, ("POST", "/v1/galleries/{name}/people/{person}/restore"): ENROLL,
    ("POST", "/v1/galleries/{name}/people/{person}/merge"): ENROLL, ("POST", "/v1/galleries/{name}/people/{person}/samples"): ENROLL,
    ("DELETE", "/v1/galleries/{name}/people/{person}/samples/{sample}"): ENROLL,
    ("GET", "/v1/studies"): READ, ("GET", "/v1/studies/{id}"): READ, ("GET", "/v1/studies/{id}/{name}"): READ,
    ("POST", "/v1/studies"): ADMIN, ("POST", "/v1/studies/{id}/ratings"): ENROLL,
    ("GET", "/v1/jobs"): READ, ("GET", "/v1/jobs/{id}"): READ, ("GET", "/v1/jobs/{id}/events"): READ, ("GET", "/v1/evaluations"): READ,
    ("GET", "/v1/evaluations/{id}"): READ, ("GET", "/v1/evaluations/{id}/{name}"): READ,
    ("POST", "/v1/evaluations"): ADMIN, ("POST", "/v1/jobs/{id}/cancel"): ADMIN, ("DELETE", "/v1/jobs/{id}"): ADMIN,
    ("POST", "/v1/galleries"): ADMIN, ("DELETE", "/v1/galleries/{name}"): ADMIN, ("GET", "/v1/galleries/{name}/audit"): ADMIN,
    ("GET", "/v1/audit"): ADMIN,
}  # fmt: skip
"""Least role of each route."""
OPEN = {("GET", "/v1/health"), ("GET", "/v1/ready"), ("POST", "/v1/session"), ("GET", "/v1/session"), ("DELETE", "/v1/session")}


def routes(client: Client) -> set[tuple[str, str]]:
    return {(method.upper(), path) for path, item in client.app.openapi()["paths"].items() for method in item}


def test_every_route_stands_in_the_matrix(client: Client) -> None:
    assert routes(client) == set(ROUTES) | OPEN


@pytest.mark.parametrize("role", [None, "read", "enroll", "admin", "revoked", "expired"])
def test_the_matrix(client: Client, role: str | None) -> None:
    client.key("read")
    client.post("/v1/galleries", json={"name": "g"}, headers=client.key("admin"))
    headers: dict[str, str] = {}
    if role == "revoked":
        headers = client.key("admin")
        keys.revoke(client.state.store, headers["Authorization"].split("_")[1])
    elif role == "expired":
        made, text = keys.add(client.state.store, "short", "admin", days=1e-9)
        headers = {"Authorization": f"Bearer {text}"}
        time.sleep(0.01)
        assert made.expires is not None
    elif role:
        headers = client.key(role)
    for (method, path), least in sorted(ROUTES.items(), key=lambda item: item[0][0] == "DELETE"):
        place = path.replace("{name}", "g").replace("{person}", "nobody").replace("{sample}", "1").replace("{id}", "0123456789abcdef")
        options: dict[str, Any] = (
            {"json": {}} if method in ("POST", "PATCH") and ("merge" in path or path == "/v1/galleries" or method == "PATCH") else {}
        )
        found = client.request(method, place, headers=headers, **options)
        if role not in keys.ROLES:
            assert found.status_code == 401, (method, path)
            assert found.headers["www-authenticate"].startswith("Bearer")
        elif keys.ROLES.index(role) < least:
            assert (found.status_code, found.json()["type"]) == (403, "urn:faceworks:problem:role"), (method, path)
        else:
            assert found.status_code not in (401, 403), (method, path, found.text)
            assert found.status_code < 500, (method, path)


def test_to_forget_needs_admin(client: Client) -> None:
    client.post("/v1/galleries", json={"name": "g"})
    assert client.delete("/v1/galleries/g/people/x?forget=true", headers=client.key("enroll")).status_code == 403


@pytest.mark.parametrize(
    "text", ["", "Bearer", "Bearer ", "Basic abc", "Bearer fw_", "Bearer fw_000000000000_" + "A" * 43, "Bearer \xff", "bearer nonsense" * 50]
)
def test_nonsense_is_no_key(client: Client, text: str) -> None:
    client.key("admin")
    assert client.get("/v1/models", headers=[(b"Authorization", text.encode("latin-1"))]).status_code == 401


def test_once_a_key_exists_nobody_goes_without(client: Client) -> None:
    assert client.get("/v1/models").status_code == 200
    made = client.key("admin")
    assert client.get("/v1/models").status_code == 401
    keys.revoke(client.state.store, made["Authorization"].split("_")[1])
    assert client.get("/v1/models").status_code == 401
    assert client.get("/v1/health").status_code == 200


# --- the page's session ----------------------------------------------------------------------------------------------------------------------


def sign_in(client: Client, role: str = "enroll") -> tuple[str, str]:
    text = client.key(role)["Authorization"].partition(" ")[2]
    found = client.post("/v1/session", json={"key": text})
    assert found.status_code == 200
    cookie = found.headers["set-cookie"]
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    client.inner.cookies.clear()
    return cookie.partition(";")[0], schemas.SessionOut.model_validate_json(found.text).csrf


def test_a_session_reads_with_the_cookie_and_writes_with_the_token(client: Client) -> None:
    cookie, token = sign_in(client)
    assert client.get("/v1/models", headers={"Cookie": cookie}).status_code == 200
    assert client.post("/v1/verify", files=pair(), headers={"Cookie": cookie}).json()["type"] == "urn:faceworks:problem:csrf"
    assert client.post("/v1/verify", files=pair(), headers={"Cookie": cookie, "X-CSRF-Token": "wrong"}).status_code == 403
    assert client.post("/v1/verify", files=pair(), headers={"Cookie": cookie, "X-CSRF-Token": token}).status_code == 200
    again = client.get("/v1/session", headers={"Cookie": cookie}).json()
    assert (again["role"], again["keyless"]) == ("enroll", False)
    assert client.post("/v1/verify", files=pair(), headers={"Cookie": cookie, "X-CSRF-Token": again["csrf"]}).status_code == 200
    assert client.delete("/v1/session", headers={"Cookie": cookie, "X-CSRF-Token": again["csrf"]}).status_code == 204
    assert client.get("/v1/models", headers={"Cookie": cookie}).status_code == 401


def test_a_session_ends_with_its_key_and_its_time(client: Client) -> None:
    cookie, _ = sign_in(client)
    keys.revoke(client.state.store, keys.listing(client.state.store)[-1].id)
    assert client.get("/v1/models", headers={"Cookie": cookie}).status_code == 401
    client.state.options = replace(client.state.options, sessions=0.01)
    cookie, _ = sign_in(client)
    time.sleep(0.02)
    assert client.get("/v1/models", headers={"Cookie": cookie}).status_code == 401
    assert client.post("/v1/session", json={"key": "fw_wrong"}).status_code == 401
    assert client.get("/v1/session").status_code == 401


def test_two_tabs_of_one_sign_in_both_write(client: Client) -> None:
    cookie, first = sign_in(client)
    second = client.get("/v1/session", headers={"Cookie": cookie}).json()["csrf"]  # the other tab was opened
    for token in (first, second, first):
        assert client.post("/v1/verify", files=pair(), headers={"Cookie": cookie, "X-CSRF-Token": token}).status_code == 200
    _, foreign = sign_in(client)
    assert foreign != first
    assert client.post("/v1/verify", files=pair(), headers={"Cookie": cookie, "X-CSRF-Token": foreign}).status_code == 403


def test_sessions_of_a_key_are_bounded(client: Client) -> None:
    text = client.key("read")["Authorization"].partition(" ")[2]
    cookies = [client.post("/v1/session", json={"key": text}).headers["set-cookie"].partition(";")[0] for _ in range(sessions.MOST + 3)]
    client.inner.cookies.clear()
    assert client.state.store.connection.execute("SELECT count(*) FROM sessions").fetchone()[0] == sessions.MOST
    assert client.get("/v1/models", headers={"Cookie": cookies[0]}).status_code == 401
    assert client.get("/v1/models", headers={"Cookie": cookies[-1]}).status_code == 200


def test_the_log_of_the_service_says_who_did_what(client: Client) -> None:
    admin = client.key("admin", "chief")
    client.post("/v1/galleries", json={"name": "staff"}, headers=admin)
    client.delete("/v1/galleries/staff", headers=admin)
    client.post("/v1/session", json={"key": admin["Authorization"].partition(" ")[2]})
    client.inner.cookies.clear()
    found = schemas.EventsOut.model_validate_json(client.get("/v1/audit", headers=admin).text)
    assert [(line.name, line.action, line.target) for line in found.items[:3]] == [
        ("chief", "sign in", ""), ("chief", "delete gallery", "staff"), ("chief", "create gallery", "staff")]  # fmt: skip
    assert (found.items[3].actor, found.items[3].action) == ("operator", "add admin key")
    seen, cursor = [], ""
    while cursor is not None:
        page = client.get("/v1/audit", params={"limit": 1, **({"cursor": cursor} if cursor else {})}, headers=admin).json()
        seen += [line["n"] for line in page["items"]]
        cursor = page["next"]
    assert seen == [line.n for line in found.items]
    for broken in ("x", "W10", "WyJhIl0", "WzFlOTk5XQ", "e30", "WzEwMDAwMDAwMDAwMDAwMDAwMDAwMF0"):
        assert client.get("/v1/audit", params={"cursor": broken}, headers=admin).status_code == 422, broken


def test_a_store_that_is_locked_is_answered_503(client: Client) -> None:
    client.wait(client.inner.get("/v1/models"))
    client.state.store.connection.execute("PRAGMA busy_timeout = 1")
    client.wait(client.state.store.call(lambda: client.state.store.connection.execute("PRAGMA busy_timeout = 1")))
    other = sqlite3.connect(client.state.store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    found = client.get("/v1/models")
    assert (found.status_code, found.json()["type"], found.headers["retry-after"]) == (503, "urn:faceworks:problem:store-unavailable", "5")
    assert client.get("/v1/health").status_code == 200
    other.execute("ROLLBACK")
    other.close()
    assert client.get("/v1/models").status_code == 200


def test_a_broken_cookie_is_no_session(client: Client) -> None:
    client.key("read")
    for value in ("faceworks_session=", "faceworks_session=a;b=\x01", '"', "faceworks_session=\xff" * 30):
        assert client.get("/v1/models", headers=[(b"Cookie", value.encode("latin-1"))]).status_code == 401


# --- limits ----------------------------------------------------------------------------------------------------------------------------------


def test_a_rate_is_kept_by_all_workers_together(fake_networks: None, tmp_path: Path) -> None:  # noqa: F811
    options = ServerOptions(data=tmp_path / "d", batch=1, rate=0.001, burst=6)
    with running(options) as one, running(options) as two:
        mine, other = one.key("read"), one.key("read", "other")
        answers = [(one, two)[index % 2].get("/v1/models", headers=mine).status_code for index in range(10)]
        assert answers == [200] * 6 + [429] * 4
        refused = two.get("/v1/models", headers=mine)
        assert 900 <= int(refused.headers["retry-after"]) <= 1000
        assert one.get("/v1/models", headers=other).status_code == 200
        assert one.get("/v1/health").status_code == 200


def test_so_many_at_once_and_no_more(fake_networks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    import threading

    gate, answers = threading.Event(), []
    monkeypatch.setattr("faceworks.api.detect", lambda *_: gate.wait(10) and [])
    with running(ServerOptions(data=tmp_path / "d", batch=1, slots=2, concurrency=3)) as client:
        mine = client.key("read")
        threads = [
            threading.Thread(target=lambda: answers.append(client.post("/v1/detect", files={"pictures": ("a", RED)}, headers=mine).status_code))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + 5
        while client.state.queue.running + client.state.queue.depth < 3 and time.monotonic() < end:
            time.sleep(0.01)
        refused = client.post("/v1/detect", files={"pictures": ("a", RED)}, headers=mine)
        assert (refused.status_code, refused.json()["type"]) == (429, "urn:faceworks:problem:too-many-requests")
        gate.set()
        for thread in threads:
            thread.join()
        assert answers == [200] * 3
        assert client.post("/v1/detect", files={"pictures": ("a", RED)}, headers=mine).status_code == 200


def test_a_request_that_takes_too_long_is_answered(fake_networks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setattr("faceworks.api.detect", lambda *_: time.sleep(1) or [])
    with running(ServerOptions(data=tmp_path / "d", batch=1, timeout=0.2)) as client:
        found = client.post("/v1/detect", files={"pictures": ("a", RED)})
        assert found.status_code == 504
        assert client.get("/v1/health").status_code == 200
