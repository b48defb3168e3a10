"""One suite for all stores: whatever `memory` answers, the others answer, to the last bit of a similarity and in the same order."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faceworks.errors import GalleryUnavailable, InputError, Outdated
from faceworks.gallery.backend import Change, Person, samples_of
from faceworks.gallery.hdf5 import Hdf5Backend
from faceworks.gallery.memory import MemoryBackend
from gallery_tools import Unsynced, binding, change_of, content, needed, people_of

STORES = ["memory", "hdf5", "encrypted", "postgres", "milvus"]
Open = Callable[..., Any]


@pytest.fixture(params=STORES)
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Opens a new store of one kind at each call; with the url of one, opens it again."""
    opened: list[Any] = []

    def make(again: Any = None, mode: str = "a") -> Any:
        name = secrets.token_hex(4) if again is None else again.test_name
        match request.param:
            case "memory":
                if again is not None:
                    return again
                store: Any = MemoryBackend()
            case "hdf5":
                store = Hdf5Backend(tmp_path / f"{name}.h5", mode, files=Unsynced())
            case "encrypted":
                needed("cryptography")
                from faceworks.gallery.sealing import Sealed

                store = Hdf5Backend(tmp_path / f"{name}.h5", mode, codec=Sealed(b"k" * 32), files=Unsynced())
            case "postgres":
                from faceworks.gallery.postgres import PostgresBackend

                url = request.getfixturevalue("postgres")
                store = PostgresBackend(f"{url}{'&' if '?' in url else '?'}gallery={name}", mode)
            case "milvus":
                needed("pymilvus", "milvus_lite")
                from faceworks.gallery.milvus import MilvusBackend

                store = MilvusBackend(f"milvus:{tmp_path}/{name}.db", mode)
        store.test_name = name
        opened.append(store)
        return store

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield make
        for store in opened:
            store.close()


def assert_same_answers(store: Any, model: Any, queries: np.ndarray, k: int, now: int = 10) -> None:
    for mine, theirs in zip(store.search(queries, k, now), model.search(queries, k, now), strict=True):
        assert mine.sample.tolist() == theirs.sample.tolist()
        assert mine.similarity.tolist() == theirs.similarity.tolist()
        assert list(mine.people) == list(theirs.people)


def test_a_new_store_is_empty(fresh: Open) -> None:
    store = fresh()
    assert (len(store), store.info.people, store.info.samples, store.info.binding) == (0, 0, 0, None)
    assert not store.entries().people
    assert len(store.search(np.eye(2, 4, dtype=np.float32), 3, 0)) == 2
    with pytest.raises(InputError, match="model"):
        store.commit(change_of([1]))


def test_life(fresh: Open) -> None:
    store, model = fresh(), MemoryBackend()
    steps = [
        change_of([1, 2, 3], binding=binding()), change_of([2]), Change(remove_people=["p2", "unknown"]), Change(remove_samples=[3, 99]),
        Change(people=[Person("p3", "Another", {"a": [1, {"b": None}]}, 5, 6, "t")]), change_of([7, 8]), "compact",
        Change(remove_people=["p7"]), change_of([9]), "reopen", Change(clear=True, binding=binding(3)), change_of([5], 3), "reopen",
    ]  # fmt: skip
    for step in steps:
        if step == "compact":
            store.compact()
        elif step == "reopen":
            store = fresh(store)
        else:
            before = store.info.revision
            store.commit(step)
            model.commit(step)
            assert store.info.revision != before
        assert content(store) == content(model)
        assert (len(store), store.info.people, store.info.binding) == (len(model), model.info.people, model.info.binding)
        dim = store.info.binding.dim
        assert_same_answers(store, model, np.eye(dim, dtype=np.float32), 3)


def test_entries_by_id_name_and_sample(fresh: Open) -> None:
    store = fresh()
    people, samples = people_of(6, 3, 8)
    people[3] = Person("p000004", "Person 1", {}, 1)
    store.commit(Change(binding=binding(8), people=people, samples=samples))
    assert [p.id for p in store.entries(["p000005", "nobody", "p000002"]).people] == ["p000002", "p000005"]
    by_name = store.entries(name="Person 1")
    assert [p.id for p in by_name.people] == ["p000002", "p000004"]
    assert by_name.samples.id.tolist() == [4, 5, 6, 10, 11, 12]
    assert [by_name.samples.people[i] for i in by_name.samples.person] == ["p000002"] * 3 + ["p000004"] * 3
    some = store.entries(samples=[11, 4, 99])
    assert (some.samples.id.tolist(), [p.id for p in some.people]) == ([4, 11], ["p000002", "p000004"])
    assert not store.entries(name="'; DROP TABLE faceworks_people; --").people
    assert not store.entries([]).people


@pytest.mark.parametrize("name", ["a/b", "'; DROP TABLE faceworks_people; --", "😀" * 200, "x" * 10_000, '"quoted" \\ %s {}', "line\nbreak"])
def test_hostile_names_and_metadata(fresh: Open, name: str) -> None:
    store = fresh()
    person = Person("p1", name, {name: name}, 1, 0, "t")
    vector = samples_of(["p1"], [0], [[1, 2, 3, 4]], [1], source=[name], consent=[name], norm=[2.5], box=[[1, 2, 3, 4]])
    store.commit(Change(binding=binding(), people=[person], samples=vector))
    store.compact()
    store = fresh(store)
    found = store.entries(name=name)
    assert [(p.id, p.name, dict(p.metadata)) for p in found.people] == [("p1", name, {name: name})]
    row = found.samples.row(0)
    assert (row.source, row.consent, row.norm, row.box.tolist(), row.quality) == (name, name, 2.5, [1, 2, 3, 4], None)


def test_refused_changes_change_nothing(fresh: Open) -> None:
    store = fresh()
    store.commit(change_of([1], binding=binding()))
    before = content(store)
    wrong = change_of([2])
    with pytest.raises(InputError, match="got 5"):
        store.commit(change_of([2], 5))
    with pytest.raises(InputError, match="nobody"):
        store.commit(Change(samples=wrong.samples))
    with pytest.raises(InputError, match="twice"):
        store.commit(Change(people=wrong.people, samples=samples_of(["p2"], [0, 0], np.eye(2, 4), [5, 5])))
    assert content(store) == before
    reader = fresh(store, "r")
    if reader is not store:
        with pytest.raises(GalleryUnavailable, match="reading alone"):
            reader.commit(change_of([3]))


def test_a_change_that_was_computed_from_an_older_state_is_refused(fresh: Open) -> None:
    store = fresh()
    store.commit(change_of([1], binding=binding()))
    since = store.info.revision
    store.commit(change_of([2], since=since))
    before = content(store)
    with pytest.raises(Outdated, match="another writer"):
        store.commit(change_of([3], since=since))
    assert content(store) == before
    store.commit(change_of([3], since=store.info.revision))
    assert len(store) == 3


def test_what_is_removed_or_expired_is_not_found(fresh: Open) -> None:
    store, model = fresh(), MemoryBackend()
    people, samples = people_of(4, 5, 8)
    samples = samples.replace(expires=np.array([0, 50, 100, 0, 0] * 4), removed=np.array([0, 0, 0, 3, 0] * 4))
    for one in (store, model):
        one.commit(Change(binding=binding(8), people=people, samples=samples))
    for now in (10, 49, 50, 99, 100, 10):
        assert_same_answers(store, model, samples.vectors[:6], 20, now)


def test_people_whom_a_search_finds_are_counted_until_the_next_expiry(fresh: Open) -> None:
    store, model = fresh(), MemoryBackend()
    people, samples = people_of(4, 2, 8)
    samples = samples.replace(expires=np.array([0, 50, 50, 100, 0, 0, 100, 100]), removed=np.array([0, 0, 0, 0, 5, 5, 0, 0]))
    for one in (store, model):
        assert one.findable(10)[0] == 0
        one.commit(Change(binding=binding(8), people=[*people, Person("nobody", "Without samples")], samples=samples))
        assert [one.findable(now) for now in (10, 49, 50, 99, 10)] == [(3, 50), (3, 50), (3, 100), (3, 100), (3, 50)]
        people_left, until = one.findable(100)
        assert people_left == 1
        assert until > 1 << 61
        one.commit(Change(remove_samples=samples.id[:1]))
        assert one.findable(10) == (3, 50)
        one.commit(Change(remove_samples=samples.id[1:2]))
        assert one.findable(10) == (2, 50)


def test_ties_are_broken_by_id(fresh: Open) -> None:
    store, model = fresh(), MemoryBackend()
    vectors = np.tile(np.eye(4, dtype=np.float32), (40, 1))
    ids = np.random.default_rng(0).permutation(160) + 1
    change = Change(binding=binding(), people=[Person("p", "P")], samples=samples_of(["p"], np.zeros(160), vectors, ids))
    for one in (store, model):
        one.commit(change)
    expected = sorted(ids[np.arange(160) % 4 == 0])
    assert store.search(np.eye(1, 4, dtype=np.float32), 7, 0)[0].sample.tolist() == expected[:7]
    assert_same_answers(store, model, np.eye(4, dtype=np.float32), 60)


@pytest.mark.slow
def test_the_same_answers_on_20_000_vectors(fresh: Open) -> None:
    store, model = fresh(), MemoryBackend()
    people, samples = people_of(2000, 10)
    genuine = (samples.vectors[0::10] * samples.vectors[1::10]).sum(axis=1)
    assert 0.5 < genuine.mean() < 0.65, "as near as the pictures of one person in LFW"
    probes = people_of(2000, 11)[1].vectors[10::11][:64]
    for start in range(0, 20_000, 5000):
        part = samples.take(np.arange(start, start + 5000))
        change = Change(binding=binding(128) if start == 0 else None, people=[p for p in people if p.id in set(part.people)], samples=part)
        store.commit(change)
        model.commit(change)
    assert_same_answers(store, model, probes[:16], 5)
    assert_same_answers(store, model, samples.vectors[:8], 25)
    gone = Change(remove_people=[p.id for p in people[::7]], remove_samples=samples.id[::13])
    store.commit(gone)
    model.commit(gone)
    assert_same_answers(store, model, probes[:8], 5)
    assert len(store) == len(model)


numbers = st.lists(st.integers(1, 12), min_size=1, max_size=4, unique=True)
operation = st.one_of(
    st.tuples(st.just("put"), numbers), st.tuples(st.just("drop people"), numbers), st.tuples(st.just("drop samples"), numbers),
    st.tuples(st.just("compact"), st.just([1])), st.tuples(st.just("clear"), st.just([1])), st.tuples(st.just("reopen"), st.just([1])),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=st.lists(operation, max_size=14))
@pytest.mark.parametrize("sealed", [False, True])
def test_any_sequence_of_operations(tmp_path: Path, sealed: bool, operations: list[tuple[str, list[int]]]) -> None:
    """Random lives of a file, plain and encrypted, follow the memory store step by step."""
    codec: Any = lambda: None  # noqa: E731
    if sealed:
        needed("cryptography")
        from faceworks.gallery.sealing import Sealed

        codec = lambda: Sealed(b"k" * 32)  # noqa: E731
    path = tmp_path / f"{secrets.token_hex(6)}.h5"
    store, model = Hdf5Backend(path, "a", binding(), codec=codec(), files=Unsynced()), MemoryBackend(binding())
    for name, given_numbers in operations:
        change = {
            "put": change_of(given_numbers), "drop people": Change(remove_people=[f"p{n}" for n in given_numbers]),
            "drop samples": Change(remove_samples=given_numbers), "clear": Change(clear=True, binding=binding()),
        }.get(name)  # fmt: skip
        if change is not None:
            store.commit(change)
            model.commit(change)
        elif name == "compact":
            store.compact()
        else:
            store.close()
            store = Hdf5Backend(path, "r+", codec=codec(), files=Unsynced())
        assert content(store) == content(model)
    assert_same_answers(store, model, np.eye(4, dtype=np.float32), 5)
    store.close()
