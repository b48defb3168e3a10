"""A whole study without models: every number counted again, same bytes for the same seed, controls, ratings, guard rails."""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from faceworks.errors import ConfigError, ManifestError
from faceworks.study import report
from faceworks.study.naming import EMOTIONS
from faceworks.study.ratings import COLUMNS

HERE = Path(__file__).parent
Run = Callable[..., dict[str, Any]]


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"study_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


recount = load("recount")
tools = load("conftest")


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    for key, value in theirs.items():
        assert ours[key] == (value if value is None else pytest.approx(value, abs=1e-9))


def test_every_number_of_t2_to_t4_is_counted_again(study: Path, tmp_path: Path, run: Run) -> None:
    document = run(study, tmp_path / "out", tools.Fake(no_face=["03/sad.png"]))
    results, tables = document["results"], tmp_path / "out" / "tables"
    pairs, faces = recount.rows(tables / "pairs.csv"), recount.rows(tables / "faces.csv")
    assert len(document["pairs"]) == len(pairs) == 12 * 4 * 2
    again = recount.t2(pairs, ("1e-3", "1e-4"))
    assert len(results["identity"]["t2"]) == len(again)
    for entry in results["identity"]["t2"]:
        other = again[entry["embedder"], entry["condition"]]
        same(entry["similarity"], other["similarity"])
        same(entry["z"], other["z"])
        assert entry["failures"] == other["failures"]
        assert {rate: (v["k"], v["n"]) for rate, v in entry["verified"].items()} == other["verified"]
    assert again["dlib-resnet-v1", "sad"]["failures"] == 1
    matrix = results["expression"]["models"][tools.MODEL]["open"]
    counts = recount.t3(faces, tools.MODEL)
    ours = {
        (row, column): matrix["counts"][i][j]
        for i, row in enumerate(matrix["rows"])
        for j, column in enumerate(matrix["columns"])
        if matrix["counts"][i][j]
    }
    assert ours == counts
    assert counts["sad", "no face"] == 1
    hits = sum(n for (target, said), n in counts.items() if target == said)
    assert matrix["accuracy"]["k"] == hits
    assert matrix["accuracy"]["n"] == 48
    for name, rate in matrix["unbiased_hit_rate"].items():  # Wagner: hits² / (row · column)
        row = sum(n for (target, _), n in counts.items() if target == name)
        column = sum(n for (target, said), n in counts.items() if said == name and target != "source")
        assert rate == pytest.approx(counts.get((name, name), 0) ** 2 / (row * column), abs=1e-9)
    affect = recount.t4(faces)
    for entry in results["affect"]["table"]:
        same(entry["valence"], affect[entry["condition"]]["valence"])
        same(entry["arousal"], affect[entry["condition"]]["arousal"])


@pytest.mark.slow
def test_the_same_inputs_give_the_same_bytes(study: Path, tmp_path: Path, run: Run) -> None:
    for name in ("one", "two"):
        run(study, tmp_path / name, draw=True)
    first = {path.relative_to(tmp_path / "one"): path.read_bytes() for path in (tmp_path / "one").rglob("*") if path.is_file()}
    second = {path.relative_to(tmp_path / "two"): path.read_bytes() for path in (tmp_path / "two").rglob("*") if path.is_file()}
    assert first.keys() == second.keys()
    assert [str(name) for name in first if first[name] != second[name]] == ["run.json"]
    documents = [json.loads((tmp_path / name / "run.json").read_text(encoding="utf-8")) for name in ("one", "two")]
    for document in documents:
        assert document.pop("date")
        document.pop("seconds")
    assert documents[0] == documents[1]
    assert {path.suffix for path in (tmp_path / "one" / "figures").iterdir()} == {".svg", ".pdf", ".png"}
    page = (tmp_path / "one" / "report.html").read_text(encoding="utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_a_killed_run_continues(study: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    first = run(study, out)["locality"]
    journal = out / "journal" / "locality.jsonl"
    lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
    journal.write_text("".join(lines[:-3]) + lines[-3][:40], encoding="utf-8")  # killed while writing
    module = importlib.import_module("faceworks.study.locality_run")
    done: list[int] = []
    real = module.compare
    monkeypatch.setattr(module, "compare", lambda *parts: done.append(1) or real(*parts))
    assert run(study, out)["locality"] == first
    assert len(done) == 3


def test_swapped_people_are_caught_and_enter_no_other_figure(study: Path, tmp_path: Path, run: Run) -> None:
    manifest = study / "manifest.csv"
    lines = manifest.read_text(encoding="utf-8-sig").splitlines()
    head, kept = lines[0], [line if "/sad." not in line else line + "identity swap" for line in lines[1:]]
    manifest.write_text("\n".join([head, *kept]) + "\n", encoding="utf-8")
    document = run(study, tmp_path / "out", tools.Fake(swapped=[f"{i:02d}/sad.png" for i in range(12)]))
    swaps = [row for row in document["pairs"] if row["control"]]
    assert len(swaps) == 24
    assert not any(row["verified_cosine_1e-3"] for row in swaps)
    assert all(row["verified_cosine_1e-3"] for row in document["pairs"] if not row["control"])
    assert all(row["rank"] > 1 for row in swaps)
    assert document["results"]["controls"] == [
        {"control": "identity swap", "edits": 12, "pairs": 24, "verified": 0, "lazy": 0, "local": 12, "global": 0, "unregistered": 0}
    ]
    assert "sad" not in {row["condition"] for row in document["results"]["identity"]["t2"]}


def test_pairs_hold_what_they_promise(study: Path, tmp_path: Path, run: Run) -> None:
    document = run(study, tmp_path / "out")
    for name in tools.EMBEDDERS:
        rows = sorted((row for row in document["pairs"] if row["embedder"] == name), key=lambda row: row["distance_cosine"])
        for metric in ("angular", "euclidean_l2"):
            values = [row[f"distance_{metric}"] for row in rows]
            assert values == sorted(values)
            assert all(row[f"verified_{metric}_1e-3"] == row["verified_cosine_1e-3"] for row in rows)
        about = document["embedders"][name]
        if not about["calibrated"]:
            n = about["impostors"]["n"]
            assert n == 5 * 66  # five conditions (the sources are one) of twelve people
            assert rows[0]["threshold_source"].startswith(f"set impostors, n = {n}")
            assert "rule of three" in rows[0]["threshold_source"]
            assert rows[0]["probability"] is None
    drops = document["results"]["identity"]["drops"]
    assert drops["against"] == "baseline"
    assert {row["condition"] for row in drops["table"]} == {"happy", "sad", "angry"}


def ratings_csv(path: Path, raters: int = 4, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    lines = [",".join(COLUMNS)]
    for rater in range(raters):
        for person in range(12):
            for condition in tools.CONDITIONS:
                picture = f"{person:02d}/{condition}.png"
                said = condition if random.random() < 0.8 else "other"
                level = {"neutral": 10, "happy": 70, "sad": 50, "angry": 60}[condition] + person
                values = {
                    "emotion": said, "intensity": round(float(np.clip(level + random.normal(0, 6), 0, 100)), 1), "naturalness": int(random.integers(3, 8)),
                    "valence": int(np.clip(round(5 + 3 * (condition == "happy") + random.normal(0, 0.8)), 1, 9)),
                    "arousal": int(np.clip(round(5 + random.normal(0, 1)), 1, 9)), "identity": "yes", "sureness": 80,
                }  # fmt: skip
                lines += [f"R{rater},{picture},{question},{value},{person},4.0,rating,,human" for question, value in values.items()]
        lines.append(f"R{rater},00/happy.png,emotion,{'happy' if rater else 'sad'},99,3.0,check,happy,human")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_ratings_join_without_any_model(study: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "out"
    fake = tools.Fake()
    run(study, out, fake)
    ratings_csv(tmp_path / "ratings.csv")
    document = report(out, [tmp_path / "ratings.csv"], withdrawn=["R3"])
    assert fake.calls == 1
    found = document["results"]
    assert found["reliability"]["excluded"] == {"R0": "failed 1 of the attention checks (at most 0 allowed)", "R3": "withdrawn"}
    assert "R3" not in (out / "tables" / "ratings.csv").read_text(encoding="utf-8")
    t6 = {row["question"]: row for row in found["reliability"]["table"]}
    assert t6["intensity"]["raters"] == 2
    assert t6["intensity"]["icc_single"] > 0.8
    assert t6["intensity"]["alpha"] > 0.8
    assert t6["emotion"]["fleiss_kappa"] is not None
    people = found["expression"]["raters"]["human"]["target"]
    assert sum(map(sum, people["counts"])) == 2 * 48
    assert found["expression"]["raters"]["human"]["models"][tools.MODEL]["n"] == 48
    agreement = {(row["a"], row["b"], row["what"]): row for row in found["affect"]["agreement"]}
    assert agreement["model", "human", "valence"]["n"] == 48
    model = next(m for m in found["inference"]["models"] if m["question"] == "intensity")
    happy = next(effect for effect in model["effects"] if effect["term"] == "happy")
    assert model["base"] == "neutral"
    assert happy["estimate"] == pytest.approx(60, abs=5)
    assert happy["low"] < happy["estimate"] < happy["high"]
    with pytest.raises(ConfigError, match="no rater has the code"):
        report(out, [tmp_path / "ratings.csv"], withdrawn=["R9"])
    (tmp_path / "bad.csv").write_text("rater,picture,question,value\nR1,00/happy.png,valence,12\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"bad\.csv: line 2"):
        report(out, [tmp_path / "bad.csv"])


def test_a_stand_in_stays_out_of_agreement(study: Path, tmp_path: Path, run: Run) -> None:
    tools.write_config(study, affect="affect-from-emotion")
    run(study, tmp_path / "out")
    ratings_csv(tmp_path / "ratings.csv")
    found = report(tmp_path / "out", [tmp_path / "ratings.csv"])["results"]
    assert found["affect"]["stand_in"]
    assert found["affect"]["agreement"] == []
    assert all("source" not in model["formula"] for model in found["inference"]["models"])
    assert any("stand-in" in text for text in found["warnings"])


def test_guard_rails_are_warnings_at_the_top(study: Path, tmp_path: Path, run: Run) -> None:
    manifest = study / "manifest.csv"
    lines = manifest.read_text(encoding="utf-8-sig").splitlines()
    manifest.write_text(
        "\n".join(line for line in lines if not line.startswith(("09", "10", "11")) and "/neutral" not in line) + "\n", encoding="utf-8"
    )
    (study / "study.toml").write_text(f'embedders = ["dlib-resnet-v1"]\nemotion = ["{tools.MODEL}"]\nbootstrap = 200\n', encoding="utf-8")
    texts = " ".join(run(study, tmp_path / "out")["results"]["warnings"])
    for piece in ("Only 9 identities", "One embedder alone", "no no-op baseline"):
        assert piece in texts
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert page.index("Only 9 identities") < page.index('id="identity"')


def test_tables_open_elsewhere(study: Path, tmp_path: Path, run: Run) -> None:
    import docx
    import pandas

    run(study, tmp_path / "out")
    tables = tmp_path / "out" / "tables"
    heads = {}
    for name in ("pairs", "faces", "locality", "summary", "ratings"):
        assert (tables / f"{name}.csv").read_bytes().startswith(b"\xef\xbb\xbf")
        frame = pandas.read_csv(tables / f"{name}.csv")
        heads[f"{name}.csv"] = list(frame.columns)
    book = pandas.read_csv(tables / "codebook.csv")
    assert {file: list(some["column"]) for file, some in book.groupby("file")} == heads
    assert not book["meaning"].isna().any(), book[book["meaning"].isna()]
    text = (tables / "tables.tex").read_text(encoding="utf-8")
    assert text.count("\\begin{table}") == text.count("\\end{table}") >= 6
    document = docx.Document(str(tables / "tables.docx"))
    assert len(document.tables) == text.count("\\begin{table}")


@pytest.mark.slow
def test_korean_letters_are_in_the_figures(study: Path, tmp_path: Path, run: Run) -> None:
    from faceworks.study.fonts import covering
    from faceworks.study.words import KOREAN

    families, lacking = covering(KOREAN.values())
    if lacking == "".join(sorted({c for t in KOREAN.values() for c in t if "가" <= c <= "힣"})):
        pytest.skip("no Korean font is installed")
    assert not lacking, f"{families} lack {lacking}"
    tools.write_config(study, 'language = "ko"\n')
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of every missing glyph
        found = run(study, tmp_path / "out", draw=True)
    assert not any("font" in text for text in found["results"]["warnings"])
    assert "여전히 같은 사람인가" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_missing_font_is_a_warning(study: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from faceworks.study import figures

    monkeypatch.setattr(figures, "covering", lambda texts: (["DejaVu Sans"], "가나"))
    for name in ("_z", "_separation", "_confusions", "_circumplex", "_lazy", "_locality"):
        monkeypatch.setattr(figures, name, lambda document, config: iter(()))
    found = run(study, tmp_path / "out", draw=True)
    assert any("No installed font has the letters 가나" in text for text in found["results"]["warnings"])


def test_methods_say_what_was_done(study: Path, tmp_path: Path, run: Run) -> None:
    run(study, tmp_path / "out")
    english = (tmp_path / "out" / "methods.en.txt").read_text(encoding="utf-8")
    korean = (tmp_path / "out" / "methods.ko.txt").read_text(encoding="utf-8")
    for piece in ("48 edited pictures of 12 identities", *tools.EMBEDDERS, tools.MODEL, "retinaface-mnet025", "no-op edit", "seed 0"):
        assert piece in english
    assert "무변화 편집" in korean
    assert set(EMOTIONS)


def test_an_outside_model_appears_in_t3_and_t4(study: Path, tmp_path: Path, run: Run) -> None:
    """Export, a scripted rater that reads nothing but the tasks, import, report: all through the command line."""
    from click.testing import CliRunner

    from faceworks.cli.study import study as command

    def call(*arguments: object) -> None:
        result = CliRunner().invoke(command, [str(part) for part in arguments])
        assert result.exit_code == 0, result.output

    out, manifest = tmp_path / "out", study / "manifest.csv"
    run(study, out)
    call("ai-rate", "export", manifest, "--out", tmp_path / "tasks.jsonl", "--quiet")
    answers = []
    for line in (tmp_path / "tasks.jsonl").read_text(encoding="utf-8").splitlines():
        task = json.loads(line)
        label = Path(task["path"]).stem  # this rater sees the truth in the file's name, and always says happy instead of sad
        answer = {
            "emotion": "happy" if label == "sad" else label,
            "intensity": 50,
            "valence": 9 if label == "happy" else 3,
            "arousal": 5,
            "naturalness": 4,
        }
        answers.append(json.dumps({"picture_sha256": task["picture_sha256"], "model": "scripted-1", "date": "2026-01-31", "answer": answer}))
    (tmp_path / "answers.jsonl").write_text("\n".join(answers) + "\n", encoding="utf-8")
    call("ai-rate", "import", tmp_path / "answers.jsonl", manifest, "--out", tmp_path / "ai.csv", "--quiet")
    ratings_csv(tmp_path / "people.csv")
    found = report(out, [tmp_path / "people.csv", tmp_path / "ai.csv"])["results"]
    t3 = found["expression"]["raters"]["ai"]
    table = {
        row: dict(zip(t3["target"]["columns"], counts, strict=True)) for row, counts in zip(t3["target"]["rows"], t3["target"]["counts"], strict=True)
    }
    assert {name: {label: n for label, n in counts.items() if n} for name, counts in table.items()} == {
        "neutral": {"neutral": 12}, "happy": {"happy": 12}, "sad": {"happy": 12}, "angry": {"angry": 12},
    }  # fmt: skip
    assert t3["other"]["n"] == 48  # people against the outside model, picture by picture
    t4 = {(row["who"], row["condition"]): row["valence"] for row in found["affect"]["table"]}
    assert (t4["ai", "happy"]["mean"], t4["ai", "sad"]["mean"]) == (1.0, -0.5)
    agreement = {(row["a"], row["b"], row["what"]): row for row in found["affect"]["agreement"]}
    assert agreement["ai", "human", "valence"]["n"] == 48
    assert agreement["ai", "human", "valence"]["ccc"] > 0.3
    assert {row["question"] for row in found["reliability"]["with_ai"]} >= {"emotion", "valence"}
    assert "scripted-1 (2026-01-31)" in (out / "tables" / "ratings.csv").read_text(encoding="utf-8-sig")
    tables = (out / "tables" / "tables.tex").read_text(encoding="utf-8")
    for title in ("outside model (every answer)", "People $\\times$ outside model (most frequent answers)", "outside model – people"):
        assert title in tables
    broken = json.loads(answers[4])
    broken["answer"]["arousal"] = "high"
    (tmp_path / "answers.jsonl").write_text("\n".join([*answers[:4], json.dumps(broken), *answers[5:]]), encoding="utf-8")
    refused = CliRunner().invoke(command, ["ai-rate", "import", str(tmp_path / "answers.jsonl"), str(manifest), "--out", str(tmp_path / "again.csv")])
    assert "line 5" in str(refused.exception or refused.output)
    assert not (tmp_path / "again.csv").exists()
