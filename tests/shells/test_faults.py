"""Whatever breaks, in whatever layer: exit code 2 and one line on stderr; never 1, which says "different people"."""

from __future__ import annotations

import errno
import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from faceworks import api, errors
from faceworks.cli import exit_code
from faceworks.cli.app import COMMANDS

from .conftest import Command

FAULTS = [
    ValueError("a fault"),
    RuntimeError("two\nlines \x1b[31m"),
    AssertionError(),
    EOFError("no more"),
    MemoryError(),
    RecursionError("deep"),
    StopIteration(),
    SystemExit(1),
    SystemExit("a word"),
    OSError(errno.ENOSPC, "No space left on device"),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
    click.ClickException("from a library that uses click"),
    click.exceptions.Exit(1),
    errors.AssetUnavailable("cannot fetch", ("a", "b")),
    errors.ImageError("cannot read"),
    errors.ManifestError("wrong", 3, "score"),
]
LAYERS = [  # module, attribute, arguments that reach it
    ("faceworks.settings", "current", ()),
    ("faceworks.cards", "get", ()),
    ("faceworks.image", "load", ()),
    ("faceworks.pipeline", "load_detector", ()),
    ("faceworks.pipeline", "load_embedder", ()),
    ("faceworks.pipeline:Pipeline", "find", ()),
    ("faceworks.pipeline:Pipeline", "embed_views", ()),
    ("faceworks.align", "crop", ()),
    ("faceworks.pipeline:Pipeline", "embed_views", ()),
    ("faceworks.verification", "resolve_threshold", ()),
    ("faceworks.api", "compare", ()),
    ("faceworks.similarity", "distance", ()),
    ("faceworks.draw", "draw", ("--save", "out.png")),
    ("faceworks.image", "save", ("--save", "out.png")),
    ("faceworks.steps", "explain", ("--steps", "steps")),
    ("faceworks.types", "to_dict", ("--json",)),
]


def inject(monkeypatch: pytest.MonkeyPatch, place: str, attribute: str, fault: BaseException) -> None:
    module, _, name = place.partition(":")
    owner = importlib.import_module(module)

    def broken(*_: object, **__: object) -> None:
        raise fault

    if (module, attribute) == ("faceworks.verification", "resolve_threshold"):
        owner = importlib.import_module("faceworks.pipeline")  # where the name is used
    monkeypatch.setattr(getattr(owner, name) if name else owner, attribute, broken)


@pytest.mark.usefixtures("fake_networks")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize(("place", "attribute", "extra"), LAYERS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_fault_in_any_layer_is_2(
    place: str, attribute: str, extra: tuple[str, ...], fault: BaseException, command: Command, colors: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    inject(monkeypatch, place, attribute, fault)
    result = command("verify", colors["red"], colors["blue"], *extra)
    assert result.code == 2, result
    assert result.out == ""
    assert result.err.startswith("faceworks: error: ")
    assert result.err.count("\n") == 1, "one line"
    assert "\x1b" not in result.err


@pytest.mark.usefixtures("fake_networks")
@pytest.mark.parametrize("words", [("detect",), ("embed", "--json"), ("embed", "--out", "v.npz")], ids=" ".join)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
def test_other_commands_too(
    words: tuple[str, ...], fault: BaseException, command: Command, colors: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    inject(monkeypatch, "faceworks.pipeline:Pipeline", "find", fault)
    result = command(*words, colors["red"])
    assert result.code == 2
    assert "error: " in result.err


@pytest.mark.usefixtures("fake_networks")
def test_an_interrupt_is_130(command: Command, colors: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    inject(monkeypatch, "faceworks.image", "load", KeyboardInterrupt())
    result = command("verify", colors["red"], colors["blue"])
    assert (result.code, result.out) == (130, "")
    assert result.err == "\nfaceworks: interrupted\n"


@pytest.mark.usefixtures("fake_networks")
def test_an_interrupted_run_says_how_it_goes_on(command: Command, colors: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the table is Parquet")
    inject(monkeypatch, "faceworks.batch.rows", "load", KeyboardInterrupt())
    result = command("batch", "detect", colors["red"], "--executor", "serial", "--out", tmp_path / "faces.parquet")
    assert result.code == 130
    assert result.err.endswith(f"faceworks: interrupted; what is done stands in {tmp_path / 'faces.parquet'}; the same command goes on\n")


@pytest.mark.usefixtures("fake_networks")
def test_a_batch_with_broken_pictures_names_them_and_is_2(command: Command, colors: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the table is Parquet")
    broken = colors["red"].with_name("broken.png")
    broken.write_bytes(b"no picture")
    words = ("batch", "detect", colors["red"], broken, "--executor", "serial", "--out", tmp_path / "faces.parquet")
    first, again = command(*words), command(*words)
    assert first.code == 2
    assert f"error: {broken}" in first.err
    assert "1 picture could not be used" in first.err
    assert again.code == 0, "what was said once is kept, not said again"


@pytest.mark.usefixtures("fake_networks")
def test_a_place_without_rights_is_no_fault_of_ours(command: Command, colors: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    inject(monkeypatch, "faceworks.image", "load", PermissionError(errno.EACCES, "Permission denied", "secret/a.png"))
    result = command("verify", colors["red"], colors["blue"])
    says = "faceworks: error: cannot use secret/a.png: Permission denied; change its rights, or run as a user who may\n"
    assert (result.code, result.err) == (2, says)


@pytest.mark.usefixtures("fake_networks")
def test_debug_adds_the_traceback(command: Command, colors: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    inject(monkeypatch, "faceworks.image", "load", ZeroDivisionError("a fault"))
    plain = command("verify", colors["red"], colors["blue"])
    assert plain.err == "faceworks: error: unforeseen ZeroDivisionError: a fault; add --debug to see where\n"
    for words in (("--debug", "verify", colors["red"], colors["blue"]), ("verify", colors["red"], colors["blue"], "--debug")):
        result = command(*words)
        assert result.code == 2
        assert "Traceback (most recent call last)" in result.err
        assert result.err.splitlines()[-1].startswith("faceworks: error: unforeseen ZeroDivisionError")


def test_exit_code_of_errors() -> None:
    assert exit_code(KeyboardInterrupt()) == 130
    assert exit_code(click.Abort()) == 130
    assert exit_code(click.UsageError("x")) == 2
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, Exception):
            assert exit_code(value("x")) == 2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "Usage"),
        (("verfy", "a", "b"), "did you mean verify"),
        (("nothing",), f"commands: {', '.join(COMMANDS)}"),
        (("verify", "a"), "see: faceworks verify --help"),
        (("verify", "a", "b", "--threshhold", "1"), "--threshold"),
        (("verify", "a", "b", "--threshold", "high"), "'high' is not a valid float"),
        (("verify", "a", "b", "--metric", "manhattan"), "euclidean_l2"),
        (("verify", "a", "b", "--threshold", "nan"), "threshold"),
        (("verify", "a", "b", "--review", "-1"), "review"),
        (("verify", "a", "b", "--embedder", "sface"), "sface-2021dec-int8bq"),
        (("verify", "a", "b", "--detector", "sface-2021dec-int8bq"), "is for the task 'embed'"),
        (("verify", "no.jpg", "either.jpg"), "no.jpg"),
        (("verify", "https://example.com/a.jpg", "b"), "example.com"),
        (("detect",), "PATH"),
        (("detect", "no.jpg"), "no.jpg"),
        (("embed", "no.jpg"), "--out"),
        (("models", "show", "yunet-2023"), "did you mean yunet-2023mar or yunet-2023mar-int8bq"),
        (("models", "pull"), "--all-default"),
        (("models", "pull", "nothing"), "nothing"),
        (("evaluate", "lfw", "--root", ".", "--pairs", "none.txt"), "none.txt"),
        (("evaluate", "lfw", "--root", ".", "--pairs", "none.txt", "--folds", "one"), "such as 1,2"),
        (("evaluate", "lfw"), "--root"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_wrong_words_are_2_and_say_what_to_do(
    words: tuple[str, ...], says: str, command: Command, empty_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    api._cached.cache_clear()
    result = command(*words)
    assert (result.code, result.out) == (2, "")
    assert says in result.err
    assert not words or result.err.count("\n") == 1


@pytest.mark.usefixtures("fake_networks")
def test_without_weights_and_network_it_says_which_file_and_what_to_do(
    command: Command, colors: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    api._cached.cache_clear()
    result = command("verify", colors["red"], colors["blue"])
    assert result.code == 2
    assert "yunet" in result.err
    assert "offline" in result.err


# --- as a process --------------------------------------------------------------------------------------------------------------------------------


def process(words: list[str], **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(api.__file__).parents[1])}
    return subprocess.run([sys.executable, *words], env=environment, text=True, check=False, timeout=120, **options)  # type: ignore[call-overload]


def test_a_full_disk_is_2() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with open("/dev/full", "w") as full:
        done = process(["-m", "faceworks", "models", "list"], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert "No space left" in done.stderr


def test_a_broken_pipe_is_2_and_silent() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = process(["-m", "faceworks", "models", "list"], stdout=write, stderr=subprocess.PIPE)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (2, "")


def test_a_broken_installation_is_2() -> None:
    code = "import sys; sys.modules['click'] = None; from faceworks.__main__ import main; main()"
    done = process(["-c", code], capture_output=True)
    assert done.returncode == 2
    assert "installation is incomplete" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_sigint_is_130(tmp_path: Path) -> None:
    code = (
        "import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job starts with it ignored
        "from faceworks import image\n"
        "from faceworks.__main__ import main\n"
        "def load(source):\n    print('up', flush=True)\n    time.sleep(60)\n"
        "image.load = load\n"
        "sys.argv = ['faceworks', 'verify', 'a', 'b']\n"
        "main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(api.__file__).parents[1])}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "Traceback" not in err
