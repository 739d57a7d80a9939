"""Where a repository is, whose token counts, and what is commented."""

from __future__ import annotations

from pathlib import Path

import pytest

from github_app import commands
from runner import researcher
from runner.researcher_github import Place, ResearcherError, of_remote, place, token


@pytest.mark.parametrize(
    ("url", "host", "api"),
    [
        ("https://github.com/ada/spoon.git", "github.com", "https://api.github.com"),
        ("https://ada:secret@github.com/ada/spoon", "github.com", "https://api.github.com"),
        ("git@github.com:ada/spoon.git", "github.com", "https://api.github.com"),
        ("ssh://git@ghe.example:2222/ada/spoon.git", "ghe.example", "https://ghe.example/api/v3"),
        ("git@ghe.example:ada/spoon", "ghe.example", "https://ghe.example/api/v3"),
        ("https://ghe.example:8443/ada/spoon/", "ghe.example:8443", "https://ghe.example:8443/api/v3"),
    ],
)
def test_remotes(url: str, host: str, api: str) -> None:
    found = of_remote(url)
    assert found == Place(host, "ada/spoon")
    assert found.api_url == api


@pytest.mark.parametrize("url", ["", "/srv/git/spoon.git", "https://github.com/ada", "file:///x/y/z"])
def test_what_is_no_github(url: str) -> None:
    with pytest.raises(ResearcherError, match="--repo"):
        of_remote(url)


def test_a_named_repository(tmp_path: Path) -> None:
    assert place("ada/spoon", tmp_path) == Place("github.com", "ada/spoon")
    assert place("ghe.example/ada/spoon", tmp_path) == Place("ghe.example", "ada/spoon")
    for wrong in ("", "spoon", "a/b/c/d", "a b/c", "/"):
        with pytest.raises(ResearcherError, match="owner/name"):
            place(wrong, tmp_path)


def test_the_token_comes_from_a_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GITHUB_TOKEN", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ResearcherError, match="GITHUB_TOKEN"):
        token(None, "github.com")
    gh = tmp_path / "gh"
    gh.write_text('#!/bin/sh\n[ "$4" = github.com ] && echo from-gh\n')
    gh.chmod(0o755)
    assert token(None, "github.com") == "from-gh"
    monkeypatch.setenv("GH_TOKEN", "from-gh-token")
    assert token(None, "github.com") == "from-gh-token"
    monkeypatch.setenv("GITHUB_TOKEN", " from-env\n")
    assert token(None, "github.com") == "from-env"
    file = tmp_path / "token"
    file.write_text("from-file\n")
    assert token(file, "github.com") == "from-file"


def test_the_server_understands_what_is_commented() -> None:
    said = researcher.command(
        sha=None, robot=("goose", "left"), sim=True, timeout=30.0, sessions=3, ref="topic/x"
    )
    assert commands.parse(said) == [
        commands.Run(labels=("goose", "left"), simulated=True, timeout_s=30.0, sessions=3, ref="topic/x")
    ]
    assert commands.parse(researcher.command(sha="a" * 40)) == [commands.Run(sha="a" * 40)]
    assert commands.parse(researcher.command()) == [commands.Run()]
