"""Completion in shells: click's own mechanism behind a command, and what our options complete to."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from runner.repo_config import FILE_NAME, RepoConfigError, parse

PRESETS = ("ideal", "measured", "raw_motor")
SHELLS = ("bash", "fish", "zsh")


@click.command(short_help="Make a shell complete commands, options and files.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes SHELL complete this program's commands, options and files.

    \b
    Examples, for raas:
      raas completion bash > ~/.local/share/bash-completion/completions/raas
      raas completion zsh > "${fpath[1]}/_raas"
      raas completion fish > ~/.config/fish/completions/raas.fish
    """
    root = context.find_root()
    name = root.info_name or "raas"
    variable = f"_{name.replace('-', '_').upper()}_COMPLETE"
    found = get_completion_class(shell)
    if found is None:  # a click without this shell
        raise click.UsageError(f"this click does not know {shell}: pip install -U click")
    click.echo(found(root.command, {}, name, variable).source())


def labels(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Labels of robots that the `.raas.yml` here asks for."""
    try:
        names = parse(Path(FILE_NAME).read_bytes()).robot
    except (OSError, RepoConfigError):
        return []
    return [CompletionItem(name) for name in names if name.startswith(begun)]


def params(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Parameter sets, and files."""
    return _or_a_file(PRESETS, begun)


def controllers(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Controllers, and files."""
    return _or_a_file(("energy",), begun)


def _or_a_file(names: tuple[str, ...], begun: str) -> list[CompletionItem]:
    found = [CompletionItem(name) for name in names if name.startswith(begun)]
    return found or [CompletionItem(begun, type="file")]
