"""faceworks completion bash|zsh|fish"""

from __future__ import annotations

import click

__all__ = ["completion"]


@click.command(short_help="Completion of commands and options for bash, zsh or fish.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the script that completes commands and options.

    bash, in ~/.bashrc: eval "$(faceworks completion bash)". zsh, in ~/.zshrc: eval "$(faceworks completion zsh)". fish: faceworks completion fish >
    ~/.config/fish/completions/faceworks.fish
    """
    from click.shell_completion import get_completion_class

    from .app import app

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(app, {}, "faceworks", "_FACEWORKS_COMPLETE").source())
    return 0
