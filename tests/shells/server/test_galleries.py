"""Galleries over HTTP: people come, are found, renamed, merged, removed, restored, forgotten; pages, undo, audit, idempotency."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from faceworks.errors import GalleryLocked
from faceworks.gallery.files import locked
from faceworks.server import schemas

from .conftest import BLACK, BLUE, CRIMSON, GREEN, RED, Client, picture

BASE = "/v1/galleries/staff"


def files(*pictures: bytes) -> list[tuple[str, Any]]:
    return [("pictures", (f"{index}.png", item)) for index, item in enumerate(pictures)]


@pytest.fixture
def staff(client: Client) -> Client:
    """A service with an empty gallery `staff`."""
    made = client.post("/v1/galleries", json={"name": "staff"})
    assert made.status_code == 201
    schemas.GalleryOut.model_validate_json(made.text)
    return client


def enroll(client: Client, name: str, *pictures: bytes, **fields: str) -> Any:
    return client.post(f"{BASE}/people", files=files(*pictures), data={"name": name, **fields})


def test_a_person_is_enrolled_found_and_described(staff: Client) -> None:
    made = enroll(staff, "김민지", RED, metadata='{"team": "연구"}', consent="written", expires="2100-01-01")
    assert made.status_code == 201, made.text
    who = schemas.EnrollOut.model_validate_json(made.text).person
    assert (who.name, who.samples, who.metadata) == ("김민지", 1, {"team": "연구"})
    found = staff.post(f"{BASE}/identify", files=files(CRIMSON, BLUE), data={"k": "3"})
    answer = schemas.IdentifyOut.model_validate_json(found.text)
    assert [face.person for item in answer.results for face in item.faces] == ["김민지", None]
    detail = schemas.PersonDetailOut.model_validate_json(staff.get(f"{BASE}/people/{who.id}").text)
    assert detail.samples[0].consent == "written"
    assert detail.samples[0].expires == "2100-01-01T00:00:00+00:00"
    assert "vector" not in staff.get(f"{BASE}/people/{who.id}").text
    changed = staff.patch(f"{BASE}/people/{who.id}", json={"name": "Kim Minji", "metadata": {}})
    assert schemas.PersonOut.model_validate_json(changed.text).name == "Kim Minji"
    more = staff.post(f"{BASE}/people/{who.id}/samples", files=files(picture((150, 30, 60)), RED))
    rows = schemas.EnrollOut.model_validate_json(more.text)
    assert rows.person.samples == 2
    assert [row.sample is None for row in rows.pictures] == [False, True]
    assert "nearly the same" in rows.pictures[1].warnings[0]


def test_what_cannot_be_used_is_said(staff: Client) -> None:
    assert enroll(staff, "Ada", BLACK).status_code == 422
    mixed = enroll(staff, "Ada", RED, BLACK)
    assert mixed.status_code == 201
    assert [row["sample"] is None for row in mixed.json()["pictures"]] == [False, True]
    assert "no face" in mixed.json()["pictures"][1]["error"]
    assert enroll(staff, "Ada", RED, metadata="[1]").status_code == 422
    assert enroll(staff, "Ada", RED, expires="soon").status_code == 422
    assert enroll(staff, "", RED).status_code == 422
    assert enroll(staff, "Ada", RED, id="../x").status_code == 422
    assert staff.get(f"{BASE}/people/nobody").status_code == 404
    assert staff.post("/v1/galleries/none/identify", files=files(RED)).status_code == 404
    assert staff.post("/v1/galleries", json={"name": "staff"}).status_code == 409


def test_remove_undo_forget(staff: Client) -> None:
    who = enroll(staff, "Ada", RED).json()["person"]["id"]
    gone = schemas.RemovedOut.model_validate_json(staff.delete(f"{BASE}/people/{who}").text)
    assert (gone.removed, gone.undo_seconds) == (1, 900)
    assert staff.get(f"{BASE}/people").json()["items"] == []
    assert staff.post(f"{BASE}/people/{who}/restore").json()["samples"] == 1
    sample = staff.get(f"{BASE}/people/{who}").json()["samples"][0]["id"]
    assert staff.delete(f"{BASE}/people/{who}/samples/{sample}").json()["removed"] == 1
    assert staff.delete(f"{BASE}/people/{who}/samples/{1 << 63}").status_code == 404
    assert staff.delete(f"{BASE}/people/{who}?forget=true").json() == {"removed": 0, "undo_seconds": 0}
    assert staff.post(f"{BASE}/people/{who}/restore").status_code == 404


def test_merge(staff: Client) -> None:
    one, two = (enroll(staff, name, color).json()["person"]["id"] for name, color in (("Ada", RED), ("A. Lovelace", BLUE)))
    assert staff.post(f"{BASE}/people/{one}/merge", json={"other": two}).json()["samples"] == 2
    assert staff.get(f"{BASE}/people/{two}").status_code == 404


def test_pages_survive_changes(staff: Client) -> None:
    for index, name in enumerate(["b", "d", "a", "c", "e"]):
        enroll(staff, name, picture((200, 20 + 40 * index, 20)))
    first = schemas.PeopleOut.model_validate_json(staff.get(f"{BASE}/people?limit=2").text)
    assert [item.name for item in first.items] == ["a", "b"]
    staff.delete(f"{BASE}/people/a")
    enroll(staff, "aa", GREEN)
    second = staff.get(f"{BASE}/people?limit=2&cursor={first.next}").json()
    assert [item["name"] for item in second["items"]] == ["c", "d"]
    third = staff.get(f"{BASE}/people?limit=2&cursor={second['next']}").json()
    assert ([item["name"] for item in third["items"]], third["next"]) == (["e"], None)
    assert [item["name"] for item in staff.get(f"{BASE}/people?q=A").json()["items"]] == ["aa"]
    for wrong in ("x", "W10", "e30", "bnVsbA", "WzEsMl0", "é", "W1tbW1tbW1tb"):
        assert staff.get(f"{BASE}/people?cursor={wrong}").status_code in (200, 422), wrong
    assert staff.get(f"{BASE}/people?limit=0").status_code == 422


def test_the_log_says_who_did_what(staff: Client) -> None:
    enroll(staff, "Ada", RED)
    staff.post(f"{BASE}/identify", files=files(CRIMSON))
    log = schemas.AuditOut.model_validate_json(staff.get(f"{BASE}/audit").text)
    assert [(line.action, line.actor) for line in log.items] == [("search", "local"), ("enroll", "local"), ("create", "local")]
    assert log.items[1].people == ["Ada"]
    assert log.valid
    page = staff.get(f"{BASE}/audit?limit=1").json()
    assert [line["action"] for line in staff.get(f"{BASE}/audit?limit=2&cursor={page['next']}").json()["items"]] == ["enroll", "create"]
    path = staff.state.options.galleries / "staff" / "people.h5.audit"
    path.write_bytes(path.read_bytes().replace(b'"count": 1', b'"count": 2', 1))
    assert staff.get(f"{BASE}/audit").json()["valid"] is False


def test_deleting_a_gallery_leaves_nothing(staff: Client) -> None:
    enroll(staff, "Ada", RED)
    assert staff.delete("/v1/galleries/staff").status_code == 204
    assert staff.get(BASE).status_code == 404
    assert [path.name for path in staff.state.options.galleries.iterdir()] == [".lock"]
    staff.post("/v1/galleries", json={"name": "staff"})
    assert staff.get(BASE).json()["people"] == 0
    assert [item["name"] for item in staff.get("/v1/galleries").json()["items"]] == ["staff"]


# --- idempotency -----------------------------------------------------------------------------------------------------------------------------


def test_the_same_request_is_answered_again_and_done_once(staff: Client) -> None:
    key = {"Idempotency-Key": "one"}
    first = staff.post(f"{BASE}/people", files=files(RED), data={"name": "Ada", "keep_duplicates": "true"}, headers=key)
    again = staff.post(f"{BASE}/people", files=files(RED), data={"name": "Ada", "keep_duplicates": "true"}, headers=key)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert staff.get(BASE).json()["samples"] == 1


def test_the_same_key_with_another_body_is_refused(staff: Client) -> None:
    key = {"Idempotency-Key": "one"}
    staff.post(f"{BASE}/people", files=files(RED), data={"name": "Ada"}, headers=key)
    for other in ({"files": files(BLUE), "data": {"name": "Ada"}}, {"files": files(RED), "data": {"name": "Eve"}}):
        found = staff.post(f"{BASE}/people", **other, headers=key)
        assert (found.status_code, found.json()["type"]) == (422, "urn:faceworks:problem:idempotency-key-reused")
    assert staff.post(f"{BASE}/people/Ada/restore", headers=key).status_code == 422
    assert staff.post(f"{BASE}/people", files=files(RED), data={"name": "x"}, headers={"Idempotency-Key": "a b"}).status_code == 400


def test_a_failed_request_may_be_tried_again(staff: Client) -> None:
    key = {"Idempotency-Key": "one"}
    assert staff.post(f"{BASE}/people", files=files(BLACK), data={"name": "Ada"}, headers=key).status_code == 422
    assert staff.post(f"{BASE}/people", files=files(RED), data={"name": "Ada"}, headers=key).status_code == 201


def test_keys_of_two_people_do_not_meet(staff: Client) -> None:
    one, two = staff.key("enroll", "one"), staff.key("enroll", "two")
    for who, name in ((one, "Ada"), (two, "Eve")):
        made = staff.post(f"{BASE}/people", files=files(RED), data={"name": name}, headers={**who, "Idempotency-Key": "k"})
        assert made.json()["person"]["name"] == name


def test_many_enroll_a_new_name_at_once_and_it_is_one_person(staff: Client) -> None:
    colors = [picture((250 - 30 * index, 30 * index, 20)) for index in range(6)]
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda item=item: answers.append(enroll(staff, "Ada", item))) for item in colors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {201}
    assert staff.get(BASE).json() | {"model": 0, "recipe": 0} == {
        "name": "staff", "people": 1, "samples": 6, "model": 0, "recipe": 0, "encrypted": False, "audited": True,
    }  # fmt: skip


def test_a_writer_that_does_not_end_is_waited_for_in_bounds(staff: Client) -> None:
    staff.state.shelf._wait = 0.2
    with locked(staff.state.options.galleries / "staff" / "service.lock", 1):
        found = enroll(staff, "Ada", RED)
        assert (found.status_code, found.json()["type"]) == (503, "urn:faceworks:problem:gallery-locked")
        assert int(found.headers["retry-after"]) >= 1
        assert staff.get(f"{BASE}/people").status_code == 200, "reading goes on"
    assert enroll(staff, "Ada", RED).status_code == 201
    with pytest.raises(GalleryLocked), locked(staff.state.options.galleries / "staff" / "service.lock", 1):
        raise GalleryLocked("released again")


def test_a_gallery_that_comes_and_goes_under_its_readers(staff: Client) -> None:
    """Deleting closes what others read from: they hear that it is gone or locked, never of a fault."""
    end, odd = time.monotonic() + 3, []
    asks: list[Callable[[], Any]] = [
        lambda: staff.post("/v1/galleries/brief/identify", files={"pictures": ("a.png", RED)}),
        lambda: staff.get("/v1/galleries/brief/people"),
        lambda: staff.post("/v1/galleries/brief/people", files={"pictures": ("a.png", RED)}, data={"name": "Ada"}),
        lambda: staff.delete("/v1/galleries/brief"),
        lambda: staff.get("/v1/galleries"),
        lambda: staff.post("/v1/galleries", json={"name": "brief"}),
        lambda: staff.post("/v1/galleries", json={"name": "brief"}),
    ]

    def repeat(ask: Callable[[], Any]) -> None:
        while time.monotonic() < end:
            found = ask()
            if found.status_code not in (200, 201, 204, 404, 409, 429, 503):
                odd.append((found.status_code, found.text))

    threads = [threading.Thread(target=repeat, args=(ask,)) for ask in asks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not odd, odd[:3]


def test_two_workers_see_each_other(staff: Client, fake_networks: None) -> None:
    from .conftest import running

    with running(staff.state.options) as other:
        enroll(staff, "Ada", RED)
        assert [item["name"] for item in other.get(f"{BASE}/people").json()["items"]] == ["Ada"]
        made = other.post(f"{BASE}/people", files=files(BLUE), data={"name": "Eve"}, headers={"Idempotency-Key": "k"})
        again = staff.post(f"{BASE}/people", files=files(BLUE), data={"name": "Eve"}, headers={"Idempotency-Key": "k"})
        assert again.json() == made.json()
        assert other.delete("/v1/galleries/staff").status_code == 204
        assert staff.get(f"{BASE}/people").status_code == 404
