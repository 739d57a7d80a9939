"""The bare repositories: everything the stand-in asks of git, as functions of a folder.

A fork has its own bare repository. A pull request's head is fetched into the base repository as
refs/pull/N/head, so its commits are reachable there as they are on GitHub.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NO_SHA = "0" * 40
"""What GitHub writes for a ref that does not exist (yet, or any more)."""

# Nothing of the machine's own git configuration may change what git does here.
_ISOLATION = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C.UTF-8",
}

# Merge commits are the stand-in's own.
_IDENTITY = {
    "GIT_AUTHOR_NAME": "GitHub stand-in",
    "GIT_AUTHOR_EMAIL": "noreply@github.localhost",
    "GIT_COMMITTER_NAME": "GitHub stand-in",
    "GIT_COMMITTER_EMAIL": "noreply@github.localhost",
}

_CONFIG = {
    "http.receivepack": "true",
    "receive.hideRefs": "refs/pull",
    "receive.autogc": "false",
    "uploadpack.allowAnySHA1InWant": "true",
    "uploadpack.allowFilter": "true",
    "gc.auto": "0",
}


class GitError(Exception):
    """Git refused; the message is its own."""


@dataclass(frozen=True)
class Signature:
    """An author or a committer; `date` is ISO 8601 with its own offset."""

    name: str
    email: str
    date: str


@dataclass(frozen=True)
class Commit:
    """One commit as git knows it."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Signature
    committer: Signature
    message: str


@dataclass(frozen=True)
class TreeEntry:
    """One entry of a tree: `kind` is blob, tree or commit (a submodule); `size` (blobs only) in bytes."""

    mode: str
    kind: str
    sha: str
    size: int | None
    name: str


@dataclass(frozen=True)
class DiffStat:
    """How much a pull request changes."""

    commits: int
    additions: int
    deletions: int
    files: int


def isolated_environment() -> dict[str, str]:
    """Return an environment in which git asks nobody and reads no configuration of this machine."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, **_ISOLATION}


def environment() -> dict[str, str]:
    """Return the environment in which the stand-in itself runs git, its configuration included."""
    config = {"GIT_CONFIG_COUNT": str(len(_CONFIG))}
    for index, (key, value) in enumerate(_CONFIG.items()):
        config |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
    return {**isolated_environment(), **_IDENTITY, **config}


class GitStore:
    """The bare repositories of one stand-in, by repository id."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def path(self, repository_id: int) -> Path:
        """Return the bare repository's folder."""
        return self._root / f"{repository_id}.git"

    def create(self, repository_id: int, default_branch: str) -> None:
        """Make an empty bare repository."""
        path = self.path(repository_id)
        path.mkdir(parents=True, exist_ok=True)
        _git(path, "init", "--bare", "--quiet", f"--initial-branch={default_branch}", ".")

    def fork(self, parent_id: int, repository_id: int) -> None:
        """Copy branches and tags of a repository into a new one."""
        path = self.path(repository_id)
        head = _git(self.path(parent_id), "symbolic-ref", "HEAD").strip()
        self.create(repository_id, head.removeprefix("refs/heads/"))
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        _git(path, "fetch", "--quiet", str(self.path(parent_id)), *refs)

    def remove(self, repository_id: int) -> None:
        """Delete a bare repository."""
        shutil.rmtree(self.path(repository_id))

    def set_default_branch(self, repository_id: int, branch: str) -> None:
        """Make a clone check out this branch."""
        _git(self.path(repository_id), "symbolic-ref", "HEAD", f"refs/heads/{branch}")

    def refs(self, repository_id: int, *prefixes: str) -> dict[str, str]:
        """Return the SHA of the object each ref names, below the prefixes (default: branches and tags)."""
        wanted = prefixes or ("refs/heads", "refs/tags")
        out = _git(self.path(repository_id), "for-each-ref", "--format=%(objectname) %(refname)", *wanted)
        return {name: sha for sha, name in (line.split(" ", 1) for line in out.splitlines())}

    def resolve(self, repository_id: int, ref: str) -> str | None:
        """Return the commit SHA that a branch, tag, full ref or (abbreviated) SHA names, or None."""
        if not ref or ref.startswith("-") or ".." in ref or "@{" in ref or any(c in ref for c in " ^~:?*[\\"):
            return None
        for candidate in (f"refs/heads/{ref}", f"refs/tags/{ref}", f"refs/{ref}", ref):
            out = _ask(self.path(repository_id), "rev-parse", "--verify", "--quiet", candidate + "^{commit}")
            if out:
                return out.strip()
        return None

    def object_type(self, repository_id: int, sha: str) -> str:
        """Return commit, tag, tree or blob."""
        return _git(self.path(repository_id), "cat-file", "-t", sha).strip()

    def commit(self, repository_id: int, sha: str) -> Commit:
        """Read one commit."""
        return self.log(repository_id, sha, limit=1)[0]

    def log(
        self, repository_id: int, tip: str, *, exclude: str | None = None, limit: int = 100
    ) -> list[Commit]:
        """Return commits reachable from `tip` and not from `exclude`, newest first."""
        form = "%H%x00%T%x00%P%x00%an%x00%ae%x00%aI%x00%cn%x00%ce%x00%cI%x00%B%x00%x01"
        revisions = [tip] if exclude in (None, NO_SHA) else [tip, f"^{exclude}"]
        out = _git(
            self.path(repository_id), "log", f"--max-count={limit}", f"--format={form}", *revisions, "--"
        )
        return [_commit(record.lstrip("\n")) for record in out.split("\x01") if record.strip("\n")]

    def changed_files(self, repository_id: int, shas: Sequence[str]) -> dict[str, dict[str, list[str]]]:
        """Return the paths each commit added, modified and removed, against its first parent."""
        changes: dict[str, dict[str, list[str]]] = {
            sha: {"added": [], "removed": [], "modified": []} for sha in shas
        }
        if not shas:
            return changes  # an empty line on standard input would be echoed
        shown = ("--stdin", "--root", "-r", "-m", "--first-parent", "--name-status", "--no-renames", "-z")
        listing = _git(self.path(repository_id), "diff-tree", *shown, stdin="\n".join(shas) + "\n")
        kinds = {"A": "added", "D": "removed"}
        fields, current = iter(listing.split("\0")), {}
        for field in fields:
            if field in changes:
                current = changes[field]
            elif field:
                current[kinds.get(field, "modified")].append(next(fields))
        return changes

    def tree(self, repository_id: int, sha: str, path: str) -> list[TreeEntry]:
        """List a folder of a commit; `path` "" is the top. Empty when there is no such folder."""
        spec = f"{sha}:{path}" if path else f"{sha}^{{tree}}"
        out = _ask(self.path(repository_id), "ls-tree", "-z", "--long", spec)
        return [_entry(line) for line in out.split("\0") if line]

    def blob(self, repository_id: int, sha: str) -> bytes:
        """Return a file's content by its blob SHA."""
        return _git_bytes(self.path(repository_id), "cat-file", "blob", sha)

    def submodule_url(self, repository_id: int, ref: str, path: str) -> str | None:
        """Return where a submodule's repository is, as .gitmodules says."""
        sha = self.resolve(repository_id, ref)
        arguments = ("config", "--blob", f"{sha}:.gitmodules", "--get-regexp", r"^submodule\..*\.(path|url)$")
        lines = _ask(self.path(repository_id), *arguments).splitlines()
        said = dict(line.split(" ", 1) for line in lines if " " in line)
        named = next((key for key, value in said.items() if key.endswith(".path") and value == path), "")
        return said.get(named.removesuffix(".path") + ".url")

    def archive(self, repository_id: int, sha: str, folder: str) -> bytes:
        """Return a gzipped tar of a commit below `folder`."""
        arguments = ("archive", "--format=tar.gz", f"--prefix={folder}/", sha)
        return _git_bytes(self.path(repository_id), *arguments)

    def is_ancestor(self, repository_id: int, ancestor: str, descendant: str) -> bool:
        """Whether `descendant` contains `ancestor`."""
        arguments = ("merge-base", "--is-ancestor", ancestor, descendant)
        return _run(self.path(repository_id), *arguments).returncode == 0

    def fetch_pull_head(self, base_id: int, head_id: int, sha: str, number: int) -> None:
        """Make a pull request's head reachable in the base repository as refs/pull/N/head."""
        base = self.path(base_id)
        if base_id != head_id:
            _git(base, "fetch", "--quiet", "--no-tags", str(self.path(head_id)), sha)
        _git(base, "update-ref", f"refs/pull/{number}/head", sha)

    def merge(self, repository_id: int, base_sha: str, head_sha: str, message: str) -> str | None:
        """Make the merge commit of two commits without moving a branch; None when they conflict."""
        path = self.path(repository_id)
        merged = _run(path, "merge-tree", "--write-tree", base_sha, head_sha)
        if merged.returncode != 0:
            return None
        tree = merged.stdout.decode().splitlines()[0]
        return _git(path, "commit-tree", tree, "-p", base_sha, "-p", head_sha, "-m", message).strip()

    def update_ref(self, repository_id: int, ref: str, sha: str) -> None:
        """Point a ref at a commit."""
        _git(self.path(repository_id), "update-ref", ref, sha)

    def diff_stat(self, repository_id: int, base_sha: str, head_sha: str) -> DiffStat:
        """Measure a pull request: from the merge base to its head."""
        path = self.path(repository_id)
        commits = _ask(path, "rev-list", "--count", f"{base_sha}..{head_sha}").strip()
        lines = _ask(path, "diff", "--numstat", "--no-renames", f"{base_sha}...{head_sha}").splitlines()
        counts = [line.split("\t")[:2] for line in lines]
        added, deleted = (sum(int(pair[i]) for pair in counts if pair[i].isdigit()) for i in (0, 1))
        return DiffStat(int(commits or 0), added, deleted, len(lines))

    def diff(self, repository_id: int, base_sha: str, head_sha: str) -> str:
        """Return a pull request's diff as text."""
        return _ask(self.path(repository_id), "diff", f"{base_sha}...{head_sha}")


def _commit(record: str) -> Commit:
    sha, tree, parents, an, ae, ad, cn, ce, cd, message, *_ = record.split("\0")
    author, committer = Signature(an, ae, ad), Signature(cn, ce, cd)
    return Commit(sha, tree, tuple(parents.split()), author, committer, message.rstrip("\n"))


def _entry(line: str) -> TreeEntry:
    meta, name = line.split("\t", 1)
    mode, kind, sha, size = meta.split()
    return TreeEntry(mode, kind, sha, int(size) if size.isdigit() else None, name)


def _run(path: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[bytes]:
    command, data = ("git", *arguments), stdin.encode()
    return subprocess.run(command, cwd=path, env=environment(), input=data, capture_output=True, check=False)


def _git_bytes(path: Path, *arguments: str, stdin: str = "") -> bytes:
    done = _run(path, *arguments, stdin=stdin)
    if done.returncode != 0:
        raise GitError(
            f"git {arguments[0]} failed in {path.name}: {done.stderr.decode(errors='replace').strip()}"
        )
    return done.stdout


def _git(path: Path, *arguments: str, stdin: str = "") -> str:
    return _git_bytes(path, *arguments, stdin=stdin).decode("utf-8", "replace")


def _ask(path: Path, *arguments: str) -> str:
    """Return git's answer, or "" where it has none."""
    done = _run(path, *arguments)
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""
