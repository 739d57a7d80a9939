"""GitHub as a researcher sees it, for `raas trigger` and `raas status`. The only module that names PyGithub.

The token is the person's own, from the environment, a file or the `gh` command, never from the command line,
where other users of the machine could read it.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import github
import requests
from github.CheckRun import CheckRun

CHECK_NAME = "RaaS"
"""What the names of our check runs begin with."""
GITHUB_COM = "github.com"
TIMEOUT_S = 20
_REMOTE = re.compile(r"^(?:[^@/]+@)?(?P<host>[^:/]+):(?!//)(?P<path>.+)$")
_FULL_NAME = re.compile(r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$")


class ResearcherError(Exception):
    """It cannot be done; one sentence and what to do next."""


class TryAgainError(ResearcherError):
    """GitHub does not answer just now."""


@dataclass(frozen=True)
class Place:
    """A repository at a GitHub: `host` and `owner/name`."""

    host: str
    full_name: str

    @property
    def api_url(self) -> str:
        """github.com's API has a host of its own; an Enterprise Server's is below its own address."""
        return "https://api.github.com" if self.host == GITHUB_COM else f"https://{self.host}/api/v3"


@dataclass(frozen=True)
class Check:
    """A check run of ours."""

    id: int
    name: str
    job: str
    status: str
    conclusion: str | None
    title: str
    url: str
    details_url: str
    """The job's page at its server."""

    @classmethod
    def of(cls, run: CheckRun) -> Check:
        """From PyGithub's."""
        title = run.output.title if run.output else None
        return cls(
            run.id,
            run.name,
            run.external_id or "",
            run.status,
            run.conclusion,
            title or "",
            run.html_url,
            run.details_url or "",
        )


def place(repo: str | None, folder: Path) -> Place:
    """The repository: named as `owner/name` or `HOST/owner/name`, or found from git's remote `origin`.

    Raises:
        ResearcherError: There is none to be found.
    """
    if repo is not None:
        *host, owner, name = ["", *repo.split("/")][-3:]
        if len(repo.split("/")) > 3 or not _FULL_NAME.match(f"{owner}/{name}"):
            raise ResearcherError(f"--repo {repo} names no repository: write owner/name or HOST/owner/name")
        return Place(host[0] or GITHUB_COM, f"{owner}/{name}")
    command = ["git", "-C", str(folder), "remote", "get-url", "origin"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ResearcherError("git is not installed; name the repository with --repo owner/name") from error
    if done.returncode:
        raise ResearcherError("git knows no remote `origin` here; name the repository with --repo owner/name")
    return of_remote(done.stdout.strip())


def of_remote(url: str) -> Place:
    """The repository of a remote's address, by https or ssh.

    Raises:
        ResearcherError: It is none of a GitHub.
    """
    if (match := _REMOTE.match(url)) is not None:
        host, path = match["host"], match["path"]
    else:
        parts = urlsplit(url)
        host, path = parts.netloc.rpartition("@")[2], parts.path
        host = host.partition(":")[0] if parts.scheme == "ssh" else host
    full_name = path.strip("/").removesuffix(".git")
    if not host or not _FULL_NAME.match(full_name):
        raise ResearcherError("the remote `origin` is no repository at a GitHub; name one with --repo")
    return Place(host.lower(), full_name)


def token(file: Path | None, host: str) -> str:
    """The person's own token.

    Raises:
        ResearcherError: There is none.
    """
    if file is not None:
        try:
            found = file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ResearcherError(f"--token-file {file} cannot be read") from error
    else:
        names = ("GITHUB_TOKEN", "GH_TOKEN")
        found = next((os.environ[name].strip() for name in names if os.environ.get(name)), "") or _gh(host)
    if not found:
        raise ResearcherError(
            "there is no token: set GITHUB_TOKEN, run `gh auth login`, or name a file with --token-file"
        )
    return found


def _gh(host: str) -> str:
    command = ["gh", "auth", "token", "--hostname", host]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


class Conversation:
    """One pull request of one repository, with a person's token.

    Args:
        where: The repository.
        secret: The token.
        api_url: The API's address, where it is not the usual one.
    """

    def __init__(self, where: Place, secret: str, api_url: str | None = None) -> None:
        client = github.Github(
            auth=github.Auth.Token(secret),
            base_url=api_url or where.api_url,
            timeout=TIMEOUT_S,
            retry=None,  # PyGithub would sleep silently until a rate limit is over
            user_agent="raas",
        )
        self.where = where
        with _explained(f"the repository {where.full_name}"):
            self._repository = client.get_repo(where.full_name)

    def head(self, number: int) -> tuple[str, bool]:
        """The head commit of a pull request, and whether it comes from another repository."""
        with _explained(f"pull request {number} of {self.where.full_name}"):
            pull = self._repository.get_pull(number)
        elsewhere = pull.head.repo is None or pull.head.repo.full_name != pull.base.repo.full_name
        return pull.head.sha, elsewhere

    def say(self, number: int, text: str) -> tuple[int, str]:
        """Comment on a pull request; the comment's id and address."""
        with _explained(f"commenting on pull request {number}"):
            comment = self._repository.get_issue(number).create_comment(text)
        return comment.id, comment.html_url

    def checks(self, sha: str) -> list[Check]:
        """Our check runs at a commit, the newest last."""
        with _explained(f"the checks of {sha[:10]}"):
            runs = self._repository.get_commit(sha).get_check_runs(filter="all")
            found = [Check.of(run) for run in runs if run.name.startswith(CHECK_NAME)]
        return sorted(found, key=lambda it: it.id)

    def refusal(self, number: int, comment: int) -> str | None:
        """Why our comment was not obeyed, if it was not; what stands in the App's reply."""
        with _explained(f"the answer to comment {comment}"):
            said = self._repository.get_issue(number).get_comment(comment)
            if "confused" not in {reaction.content for reaction in said.get_reactions()}:
                return None
            marker = f"<!-- raas: reply to {comment} -->"
            replies = self._repository.get_issue(number).get_comments(since=said.created_at)
            return next(
                (it.body.partition("<!--")[0].strip() for it in replies if marker in it.body),
                "The command was not obeyed.",
            )


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """PyGithub's errors as sentences that say what to do."""
    try:
        yield
    except github.BadCredentialsException as error:
        raise ResearcherError("GitHub does not know this token; it may have expired, make another") from error
    except github.RateLimitExceededException as error:
        raise ResearcherError(f"{what}: GitHub's rate limit is reached; {_until(error)}") from error
    except github.UnknownObjectException as error:
        raise ResearcherError(
            f"GitHub has no such thing, or the token may not see it: {what}; check the name and the token"
        ) from error
    except github.GithubException as error:
        if error.status >= 500:
            raise TryAgainError(f"{what}: GitHub answers {error.status}; try again in a while") from error
        if error.status == 403:
            raise ResearcherError(
                f"{what}: the token may not do that; it needs to read checks and write to pull requests"
            ) from error
        raise ResearcherError(f"{what}: GitHub refuses ({error.status} {_message(error)})") from error
    except requests.RequestException as error:
        raise TryAgainError(f"{what}: GitHub cannot be reached; check the network") from error


def _until(error: Any) -> str:
    seconds = (error.headers or {}).get("retry-after")
    return f"try again in {seconds} s" if seconds else "try again within the hour"


def _message(error: Any) -> str:
    data = error.data if isinstance(error.data, dict) else {}
    return str(data.get("message", ""))[:200]
