"""What a job's own process does. A process of its own can be stopped at any point, and takes its memory with it."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import evaluate, settings
from ..batch.progress import watched
from ..errors import FaceworksError, InputError
from ..pipeline import PipelineSpec
from ..types import to_dict
from . import jobs
from .archive import unpacked
from .options import ServerOptions
from .problems import PRIVATE, problem_of
from .store import Store
from .studying import rated, study

__all__ = ["EVALUATIONS", "perform"]

log = logging.getLogger("faceworks.server")
Parameters = Mapping[str, Any]


def perform(options: ServerOptions, active: settings.Settings, id: str) -> None:
    """Do one job and write how it ended into the store. Called in a spawned process."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    parent = os.getppid()
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()
    store, folder, last = Store(options.database), options.jobs / id, [0.0]
    job = jobs.get(store, id)
    if job is None:
        return

    def progress(done: int, total: int | None) -> None:
        if time.monotonic() - last[0] > 0.25 or done == total:
            last[0] = time.monotonic()
            jobs.report(store, id, done, total or 0, "pictures")

    limits = {"max_image_bytes": options.max_image_bytes, "max_image_pixels": options.max_image_pixels, "threads": 1, "offline": True}
    try:
        with settings.use(active, **limits), watched(progress):
            KINDS[job.kind](folder, job.parameters, options)
        jobs.finish(store, id)
    except FaceworksError as error:
        problem = problem_of(error)
        log.warning("job %s: %s: %s", id, type(error).__name__, error)
        jobs.finish(
            store, id, {"status": problem.status, "type": f"urn:faceworks:problem:{problem.kind}", "detail": _without(problem.detail, folder)}
        )
    except Exception:
        log.exception("job %s failed", id)
        jobs.finish(store, id, {"status": 500, "type": "urn:faceworks:problem:http-500", "detail": PRIVATE})
    finally:
        store.close()


def _die_with(parent: int) -> None:
    """A job whose service was killed must not go on unseen."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _without(text: str, folder: Path) -> str:
    """A message without the path of the job's folder: names are those inside the archive."""
    return text.replace(f"{folder / 'in'}{os.sep}", "").replace(str(folder / "in"), "the archive").replace(str(folder), "the job")


def _write(folder: Path, document: Any) -> None:
    """The report, whole or not at all."""
    text = json.dumps(to_dict(document), ensure_ascii=False, allow_nan=False, indent=1)
    temporary = folder / "out" / ".report.json"
    temporary.write_text(_without(text, folder), encoding="utf-8")
    temporary.replace(folder / "out" / "report.json")


def _table(function: Callable[[Path], Any]) -> Callable[[Path, Parameters, ServerOptions], None]:
    """An evaluation of a table: no picture is looked at."""

    def run(folder: Path, parameters: Parameters, options: ServerOptions) -> None:
        table = folder / "in" / "upload.csv"
        table.parent.mkdir(exist_ok=True)
        shutil.copyfile(folder / "upload", table)
        _write(folder, function(table))

    return run


def _spec(parameters: Parameters) -> PipelineSpec:
    return PipelineSpec(**{"select": "central", "on_no_face": "empty", "threads": 1, **parameters.get("spec", {})})


def _folder(folder: Path, parameters: Parameters, options: ServerOptions) -> None:
    root = unpacked(folder, options)
    inner = [path for path in root.iterdir() if path.is_dir()]
    if len(inner) == 1 and not [path for path in root.iterdir() if path.is_file()]:  # a zip of one folder that holds the folders of people
        root = inner[0]
    found = evaluate.evaluate_folder(root, _spec(parameters), out=folder / "out", dataset=parameters["dataset"], progress=False)
    _write(folder, found)


def _pairs(folder: Path, parameters: Parameters, options: ServerOptions) -> None:
    root = unpacked(folder, options)
    lists = sorted(path for path in root.rglob("pairs.*") if path.suffix in (".csv", ".txt"))
    if len(lists) != 1:
        raise InputError(f"the archive needs one pairs.csv (first, second, label) or pairs.txt (LFW's), it holds {len(lists)}")
    if lists[0].suffix == ".csv":
        pairs = evaluate.read_pairs_csv(lists[0], lists[0].parent)
    else:
        images = lists[0].parent / "images"
        pairs = evaluate.read_lfw_pairs(lists[0], images if images.is_dir() else lists[0].parent)
    report = evaluate.evaluate_pairs(pairs, _spec(parameters), out=folder / "out", dataset=parameters["dataset"], progress=False)
    _write(folder, report.to_dict())


EVALUATIONS: Mapping[str, Callable[[Path, Parameters, ServerOptions], None]] = {
    "scores": _table(lambda path: evaluate.evaluate_scores(path)),
    "attributes": _table(lambda path: evaluate.evaluate_attributes(path)),
    "pad": _table(lambda path: evaluate.evaluate_pad(path)),
    "folder": _folder,
    "pairs": _pairs,
}
"""What an evaluation may be: three of a CSV, two of a zip with pictures."""


def _evaluation(folder: Path, parameters: Parameters, options: ServerOptions) -> None:
    (folder / "out").mkdir(exist_ok=True)
    EVALUATIONS[parameters["kind"]](folder, parameters, options)


KINDS: Mapping[str, Callable[[Path, Parameters, ServerOptions], None]] = {"evaluation": _evaluation, "study": study, "ratings": rated}
"""What a job may be."""
