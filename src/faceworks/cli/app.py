"""The command group (its commands are imported when they are called) and the mapping of errors to exit codes."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from .. import __version__, settings
from ..errors import FaceworksError, UnknownModel

__all__ = ["COMMANDS", "LazyGroup", "app", "exit_code", "run"]

COMMANDS = {
    "verify": ("faceworks.cli.verify:verify", "Do two pictures show the same person?"),
    "detect": ("faceworks.cli.detect:detect", "Find the faces in pictures."),
    "landmarks": ("faceworks.cli.landmarks:landmarks", "Find the facial points in pictures."),
    "align": ("faceworks.cli.align:align", "Cut faces out of pictures: aligned, square, turned to the front."),
    "analyze": ("faceworks.cli.fuse:analyze", "What faces show: emotion, age, gender, liveness, pose, quality."),
    "embed": ("faceworks.cli.embed:embed", "Turn faces into vectors."),
    "batch": ("faceworks.cli.batch:batch", "Many pictures into one Parquet table, resumable."),
    "video": ("faceworks.cli.video:video", "Follow and name the faces of a video, camera or stream."),
    "anonymize": ("faceworks.cli.video:anonymize", "Hide the faces in pictures and videos."),
    "cluster": ("faceworks.cli.cluster:cluster", "Group the faces of an album into people."),
    "gallery": ("faceworks.cli.gallery:gallery", "People enrolled, found, removed."),
    "models": ("faceworks.cli.models:models", "The model catalog: list, show, pull, verify, where, add."),
    "evaluate": ("faceworks.cli.evaluate:evaluate", "Measure error rates on a data set."),
    "study": ("faceworks.cli.study:study", "Edited faces: same person? right emotion?"),
    "train": ("faceworks.cli.train:train", "Train a model and use it like any shipped one."),
    "experiment": ("faceworks.cli.experiment:experiment", "FaceNet's experiments, one command each, with plots."),
    "datasets": ("faceworks.cli.datasets:datasets", "Training sets, and whether they can be had."),
    "serve": ("faceworks.cli.serve:serve", "The service and its page."),
    "completion": ("faceworks.cli.completion:completion", "Completion of commands and options for bash, zsh or fish."),
    "demo": ("faceworks.cli.demo:demo", "Run on sample pictures and explain what was decided."),
}
"""Command -> (where it is, its short help): so `faceworks --help` imports none of them."""
ERROR, INTERRUPTED = 2, 130


class _Carried(Exception):
    """Carries an error past click, which would turn it into an exit code of its own (a broken pipe into 1, the end of a file into an interrupt)."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with the nearest and the list."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise click.UsageError(f"no command is called {name!r}; {hint}commands: {', '.join(COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what click would read as its own exit codes is carried past it."""
        try:
            return super().invoke(ctx)
        except (EOFError, OSError) as error:
            raise _Carried(error) from error
        except click.exceptions.Exit as error:
            if error.exit_code == 0:  # --help and --version
                raise
            raise RuntimeError(f"a command left with {error.exit_code}") from error


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120}, no_args_is_help=False)
@click.version_option(__version__, prog_name="faceworks", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, is_eager=True, expose_value=False, callback=lambda ctx, _, value: note_debug(ctx, value),
              help="Show the traceback of an error (also accepted after the command).")  # fmt: skip
def app() -> None:
    """Face recognition with known error rates.

    Exit codes: 0 done (verify: same person), 1 different person, 2 error, 3 needs review, 130 interrupted. Models and pictures are fetched when
    they are first needed and kept (`faceworks models where`).
    """


def note_debug(ctx: click.Context, value: bool) -> None:
    """Remember --debug where `run` finds it after the context is gone."""
    if value and isinstance(ctx.find_root().obj, dict):
        ctx.find_root().obj["debug"] = True


def one_line(text: str) -> str:
    """A message as one printable line."""
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in " ".join(text.split()))


def _usage(error: click.ClickException) -> str:
    text = error.format_message().rstrip(".")
    context = getattr(error, "ctx", None)
    if context is None:
        return text
    if isinstance(error, click.NoSuchOption):
        known = sorted({name for item in context.command.get_params(context) for name in item.opts if name.startswith("--")})
        text = f"{text}; options of {context.command_path}: {' '.join(known)}"
    if isinstance(context.command, click.Group) and text.startswith("No such command"):
        text = f"{text}; commands: {', '.join(context.command.list_commands(context))}"
    return f"{text}; see: {context.command_path} --help"


def _complain(error: BaseException, debug: bool) -> None:
    """One line on stderr that says what to do; the traceback before it under --debug."""
    if debug:
        traceback.print_exception(error, file=sys.stderr)
    if isinstance(error, click.ClickException):
        text = _usage(error)
    elif isinstance(error, FaceworksError):
        text = "; ".join([str(error), *getattr(error, "__notes__", []), *["see: faceworks models list"] * isinstance(error, UnknownModel)])
    elif isinstance(error, OSError) and error.filename is not None and error.strerror:
        text = f"cannot use {os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else error.filename}: {error.strerror}"
        text += "; change its rights, or run as a user who may" * isinstance(error, PermissionError)
    else:
        hint = "this is a fault of faceworks or of its installation" if debug else "add --debug to see where"
        text = f"unforeseen {type(error).__name__}: {error}; {hint}"
    click.echo(f"faceworks: error: {one_line(text)}", err=True)


def _stopped(error: BaseException) -> str:
    """What an interrupted command leaves behind, where it said so (`output.if_interrupted`)."""
    notes = [*getattr(error, "__notes__", ()), *getattr(error.__cause__, "__notes__", ())]  # click's Abort has the interrupt as its cause
    return "; ".join(notes) or "interrupted"


def _plain_streams() -> None:
    """Names that the terminal cannot show are escaped instead of ending the run."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _silence(stream: Any) -> None:
    """After a broken pipe: let the interpreter flush what is left into nothing."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):
        return


def exit_code(error: BaseException) -> int:
    """The exit code that an error leads to: 130 for an interrupt, 2 for everything else. 1 and 3 are answers, never errors."""
    return INTERRUPTED if isinstance(error, (KeyboardInterrupt, click.Abort)) else ERROR


def _invoke(arguments: Sequence[str], state: dict[str, bool]) -> int:
    asked = settings.completion()
    if asked and not arguments:
        from click.shell_completion import shell_complete

        return shell_complete(app, {}, "faceworks", "_FACEWORKS_COMPLETE", asked)
    if not arguments:
        with app.make_context("faceworks", [], resilient_parsing=True) as context:
            click.echo(app.get_help(context), err=True)
        return ERROR
    try:
        result = app.main(list(arguments), prog_name="faceworks", standalone_mode=False, obj=state)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except _Carried as carried:
        raise carried.error from None
    except SystemExit as error:
        if not error.code:
            return 0
        if isinstance(error.__context__, BrokenPipeError):  # rich leaves with 1
            raise error.__context__ from None
        raise RuntimeError(f"something left with {error.code!r}") from error


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; nothing is raised."""
    state = {"debug": False}
    try:
        _plain_streams()
        return _invoke(arguments, state)
    except BrokenPipeError:
        _silence(sys.stdout)
        return ERROR
    except BaseException as error:  # noqa: BLE001 - whatever happens is an error (2), never "different" (1)
        code = exit_code(error)
        try:
            if code == INTERRUPTED:
                click.echo(f"faceworks: {one_line(_stopped(error))}", err=True)
            else:
                _complain(error, state["debug"])
        except OSError:
            _silence(sys.stderr)
        if isinstance(error, OSError):
            _silence(sys.stdout)
        return code
