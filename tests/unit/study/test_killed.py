"""`study run` in a process of its own, killed with SIGKILL at several moments: it continues without asking the models twice, and ends with the same bytes."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DRIVER = """
import importlib, importlib.util, sys, time
from pathlib import Path
import numpy as np
from faceworks import image
from faceworks.study import config, manifest

folder, out, log, conftest, executor = sys.argv[1:]
spec = importlib.util.spec_from_file_location("tools", conftest)
tools = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tools)
chosen, listed = config.load(Path(folder) / "study.toml"), manifest.read(Path(folder) / "manifest.csv")
items = {image.load(item.path).tobytes(): item for item in listed.pictures}
fake = tools.Fake()

def looks(self, pictures):
    answers = []
    for picture in pictures:
        item = items[picture.tobytes()]
        found = fake.record(chosen, item)
        with open(log, "a") as file:
            file.write(f"model {item.name}\\n")
        time.sleep(0.01)
        answers.append({"size": list(found.size), "faces": 1, "box": list(found.box), "score": found.score, "points": found.points.tolist(),
                        "vectors": {name: vector.tolist() for name, vector in found.vectors.items()}, "emotions": found.emotions, "affect": found.affect,
                        "quality": found.quality})
    return answers

runs = importlib.import_module("faceworks.study.run")
importlib.import_module("faceworks.study.measure").Measure.__call__ = looks
local = importlib.import_module("faceworks.study.locality_run")
compare = local.compare
def counted(*both):
    with open(log, "a") as file:
        file.write("compare\\n")
    return compare(*both)
local.compare = counted
runs.usable = lambda config, skip: (config, [])
importlib.import_module("faceworks.study.figures").draw_all = lambda document, config: ([], "")
runs.run(Path(folder) / "manifest.csv", out, executor=executor, progress=False)
"""


def start(study: Path, out: Path, log: Path, executor: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", DRIVER, str(study), str(out), str(log), str(HERE / "conftest.py"), executor]
    source = Path(importlib.util.find_spec("faceworks").origin).parent.parent  # type: ignore[union-attr,arg-type]
    return subprocess.Popen(command, stderr=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(source), "PYTHONHASHSEED": "random"})


def lines(path: Path, word: str = "") -> int:
    return sum(line.startswith(word) and line.endswith("\n") for line in path.read_text().splitlines(keepends=True)) if path.exists() else 0


def finish(process: subprocess.Popen[bytes]) -> None:
    _, told = process.communicate(timeout=240)
    assert process.returncode == 0, told.decode()[-2000:]


def journaled(out: Path) -> tuple[int, int]:
    """Pictures and comparisons that are kept; a line without its end is not."""
    files = list((out / "journal").glob("*.jsonl")) if (out / "journal").is_dir() else []
    counts = {path.name == "locality.jsonl": lines(path, "{") for path in files}
    return counts.get(False, 0), counts.get(True, 0)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
@pytest.mark.parametrize("executor", ["threads", pytest.param("serial", marks=pytest.mark.slow)])
def test_killed_at_several_moments(study: Path, tmp_path: Path, executor: str) -> None:
    whole, cut, log = tmp_path / "whole", tmp_path / "cut", tmp_path / "log"
    finish(start(study, whole, tmp_path / "first", executor))
    assert (lines(tmp_path / "first", "model"), lines(tmp_path / "first", "compare")) == (60, 48)
    for moment in (5, 40, None):  # so many pictures seen; None: while the report is written
        seen = lines(log, "model")
        before = journaled(cut)
        process = start(study, cut, log, executor)
        deadline = time.monotonic() + 200
        while (lines(log, "model") < moment) if moment else not (cut / "tables" / "pairs.csv").exists():
            assert process.poll() is None, process.communicate()[1].decode()[-2000:]
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert journaled(cut) >= before
        assert lines(log, "model") - seen <= 60 - before[0]  # nothing that was kept is asked again
    assert journaled(cut) == (60, 48)
    seen = lines(log)
    finish(start(study, cut, log, executor))
    assert lines(log) == seen  # neither a model nor a comparison
    first, second = ({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} for out in (whole, cut))
    differ = {str(name) for name in first.keys() | second.keys() if first.get(name) != second.get(name)}
    assert {name for name in differ if not name.startswith("journal")} == {"run.json"}  # journals have the order of the work
    documents = [json.loads(found[Path("run.json")]) for found in (first, second)]
    for document in documents:
        del document["date"], document["seconds"]
    assert documents[0] == documents[1]
