"""Commits and pushes, with real git."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from demo.github.git_store import isolated_environment
from demo.github.world.connection import Connection, WorldError


class Code(Connection):
    """What is in the repositories."""

    def clone_url(self, full_name: str, user: str) -> str:
        """Return an address with which git clones and pushes as a person."""
        account, (scheme, rest) = self.user(user), self.url.split("://", 1)
        return f"{scheme}://{account.login}:{account.token}@{rest}/{full_name}.git"

    def push(
        self,
        full_name: str,
        files: Mapping[str, str | bytes] | None = None,
        *,
        user: str,
        branch: str = "main",
        message: str = "Change",
        tree: Path | None = None,
        delete: Iterable[str] = (),
        force: bool = False,
    ) -> str:
        """Commit files (or all of a folder) on a branch and push; return the new commit's SHA.

        A new branch starts at the default branch. With `force` so does an old one, which rewrites it.
        """
        with tempfile.TemporaryDirectory(prefix="raas-push-") as folder:
            work = Path(folder, "work")
            _git(Path(folder), "clone", "--quiet", self.clone_url(full_name, user), str(work))
            known = _git(work, "branch", "--remotes", "--list", f"origin/{branch}").strip()
            start = (f"origin/{branch}",) if known and not force else ()
            _git(work, "checkout", "--quiet", "-B", branch, *start)
            _put(work, files or {}, tree, delete)
            _git(work, "add", "--all", "--force")
            _git(work, *_identity(user), "commit", "--quiet", "--allow-empty", "-m", message)
            _git(work, "push", "--quiet", "origin", f"{'+' if force else ''}HEAD:refs/heads/{branch}")
            return _git(work, "rev-parse", "HEAD").strip()

    def tag(self, full_name: str, name: str, *, user: str, branch: str = "main") -> None:
        """Push a tag at the tip of a branch."""
        with tempfile.TemporaryDirectory(prefix="raas-push-") as folder:
            work = Path(folder, "work")
            _git(
                Path(folder),
                "clone",
                "--quiet",
                "--branch",
                branch,
                self.clone_url(full_name, user),
                str(work),
            )
            _git(work, "push", "--quiet", "origin", f"HEAD:refs/tags/{name}")

    def delete_branch(self, full_name: str, branch: str, *, user: str) -> None:
        """Delete a branch by a push."""
        with tempfile.TemporaryDirectory(prefix="raas-push-") as folder:
            _git(Path(folder), "init", "--quiet")
            _git(Path(folder), "push", "--quiet", self.clone_url(full_name, user), f":refs/heads/{branch}")


def _put(work: Path, files: Mapping[str, str | bytes], tree: Path | None, delete: Iterable[str]) -> None:
    if tree is not None:
        shutil.copytree(tree, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".git", "__pycache__"))
    for name, content in files.items():
        target = work / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
    for name in delete:
        (work / name).unlink()


def _identity(user: str) -> tuple[str, ...]:
    # The same address as the stand-in's accounts have, so that commits are theirs on its pages.
    return ("-c", f"user.name={user}", "-c", f"user.email={user}@users.noreply.github.localhost")


def _git(folder: Path, *arguments: str) -> str:
    command, env = ("git", *arguments), isolated_environment()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise WorldError(f"git {' '.join(arguments[:2])}: {done.stderr.strip()}")
    return done.stdout
