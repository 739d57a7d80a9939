"""Real git against the stand-in: clone, fetch, push, and who may."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from standin import Site

from demo.github.git_store import isolated_environment
from demo.github.world import WorldError


def _git(folder: Path, *arguments: str) -> str:
    command = ("git", "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments)
    done = subprocess.run(
        command, cwd=folder, env=isolated_environment(), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return done.stdout.strip()


def _url(hosted: Site, name: str, user: str, secret: str) -> str:
    return hosted.github.url.replace("://", f"://{user}:{secret}@") + f"/{name}.git"


def test_a_public_repository_is_cloned_by_anybody(hosted: Site, tmp_path: Path) -> None:
    name = hosted.repository()
    for suffix in ("", ".git"):
        _git(tmp_path, "clone", "--quiet", f"{hosted.github.url}/{name}{suffix}", f"copy{suffix}")
        assert (tmp_path / f"copy{suffix}" / "run.py").read_text() == "print('hello')\n"


def test_a_private_repository_needs_a_token_of_somebody_who_may(hosted: Site, tmp_path: Path) -> None:
    name = hosted.repository(private=True)
    stranger = hosted.world.user("stranger").token
    good = hosted.token(name, permissions={"contents": "read"})
    poor = hosted.token(name, permissions={"checks": "write"})
    with pytest.raises(AssertionError, match="could not read Username"):
        _git(tmp_path, "clone", f"{hosted.github.url}/{name}", "a")
    with pytest.raises(AssertionError, match="not found"):
        _git(tmp_path, "clone", _url(hosted, name, "stranger", stranger), "b")
    with pytest.raises(AssertionError, match="Authentication failed"):
        _git(tmp_path, "clone", _url(hosted, name, "x-access-token", "ghs_wrong"), "c")
    with pytest.raises(AssertionError, match="403"):
        _git(tmp_path, "clone", _url(hosted, name, "x-access-token", poor), "d")
    _git(tmp_path, "clone", "--quiet", _url(hosted, name, "x-access-token", good), "e")
    assert (tmp_path / "e" / "run.py").exists()


def test_pushing_needs_write_permission(hosted: Site) -> None:
    name = hosted.repository()
    hosted.world.user("reader")
    for role in ("none", "read", "triage"):
        hosted.world.collaborator(name, "reader", role)
        with pytest.raises(WorldError, match="403"):
            hosted.world.push(name, {"x": "1"}, user="reader")
    for role in ("write", "maintain", "admin"):
        hosted.world.collaborator(name, "reader", role)
        assert hosted.world.push(name, {"x": role}, user="reader")
    hosted.world.change_repository(name, user="alice", archived=True)
    with pytest.raises(WorldError, match="403"):
        hosted.world.push(name, {"x": "2"}, user="alice")


def test_any_commit_can_be_fetched_shallowly(hosted: Site, tmp_path: Path) -> None:
    """As a runner or server fetches exactly one commit, even one that no branch holds any more."""
    name = hosted.repository()
    gone = hosted.world.push(name, {"a": "1"}, user="alice", branch="topic")
    hosted.world.push(name, {"b": "2"}, user="alice", branch="topic", force=True)
    _git(tmp_path, "init", "--quiet")
    _git(tmp_path, "fetch", "--quiet", "--depth=1", f"{hosted.github.url}/{name}", gone)
    _git(tmp_path, "checkout", "--quiet", "FETCH_HEAD")
    assert (tmp_path / "a").exists()
    assert _git(tmp_path, "rev-list", "--count", "HEAD") == "1"
    partial = tmp_path / "partial"
    _git(tmp_path, "clone", "--quiet", "--filter=blob:none", f"{hosted.github.url}/{name}", str(partial))


def test_a_forks_commits_are_reachable_in_the_base(hosted: Site, tmp_path: Path) -> None:
    name = hosted.repository()
    hosted.world.fork(name, "bob")
    fork = f"bob/{name.split('/')[1]}"
    sha = hosted.world.push(fork, {"bob.txt": "1"}, user="bob", branch="idea")
    number = hosted.world.open_pull(name, head="bob:idea", user="bob")["number"]
    _git(tmp_path, "init", "--quiet")
    remote = f"{hosted.github.url}/{name}"
    for content in ("2", "3"):
        assert _git(tmp_path, "ls-remote", remote, f"refs/pull/{number}/head").split()[0] == sha
        sha = hosted.world.push(fork, {"bob.txt": content}, user="bob", branch="idea")
        assert hosted.check_run(name, sha)["pull_requests"] == []
    _git(tmp_path, "fetch", "--quiet", remote, f"refs/pull/{number}/merge")
    assert "run.py" in _git(tmp_path, "ls-tree", "--name-only", "FETCH_HEAD")
    with pytest.raises(AssertionError, match=r"deny updating a hidden ref"):
        _git(tmp_path, "push", hosted.world.clone_url(name, "alice"), f"FETCH_HEAD:refs/pull/{number}/head")


def test_large_pushes_in_pieces(hosted: Site, tmp_path: Path) -> None:
    """Above a megabyte git sends chunks without saying how long they are together."""
    name = hosted.repository()
    _git(tmp_path, "clone", "--quiet", hosted.world.clone_url(name, "alice"), "work")
    work = tmp_path / "work"
    (work / "noise.bin").write_bytes(os.urandom(3_000_000))
    _git(work, "add", "noise.bin")
    _git(work, "commit", "--quiet", "-m", "Noise")
    _git(work, "push", "--quiet", "origin", "HEAD:main")
    assert _git(tmp_path, "ls-remote", f"{hosted.github.url}/{name}", "main").split()[0] == _git(
        work, "rev-parse", "HEAD"
    )


def test_links_and_submodules_in_the_contents(hosted: Site, tmp_path: Path) -> None:
    name = hosted.repository()
    _git(tmp_path, "clone", "--quiet", hosted.world.clone_url(name, "alice"), "work")
    work = tmp_path / "work"
    (work / "link").symlink_to("run.py")
    _git(work, "add", "link")
    (work / ".gitmodules").write_text(
        '[submodule "sub"]\n\tpath = sub\n\turl = https://example.org/sub.git\n'
    )
    _git(work, "add", ".gitmodules")
    entry = f"160000,{_git(work, 'rev-parse', 'HEAD')},sub"
    _git(work, "update-index", "--add", "--cacheinfo", entry)
    _git(work, "commit", "--quiet", "-m", "Link")
    _git(work, "push", "--quiet", "origin", "HEAD:main")
    token = hosted.token(name)
    link = hosted.world.call(token, "GET", f"/repos/{name}/contents/link")
    assert (link["type"], link["target"]) == ("symlink", "run.py")
    module = hosted.world.call(token, "GET", f"/repos/{name}/contents/sub")
    assert (module["type"], module["submodule_git_url"]) == ("submodule", "https://example.org/sub.git")
    kinds = {it["name"]: it["type"] for it in hosted.world.call(token, "GET", f"/repos/{name}/contents/")}
    # GitHub lists a submodule as a file, "for backwards compatibility".
    assert kinds == {".gitmodules": "file", "link": "symlink", "run.py": "file", "sub": "file"}
