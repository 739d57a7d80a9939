"""The life of a pull request: opened, moved by pushes, closed, reopened, merged."""

from sqlalchemy import select

from demo.github import events
from demo.github.errors import ApiError, invalid
from demo.github.models import Account, Issue, Pull, Repository
from demo.github.scope import Scope, now


def take_number(row: Repository) -> int:
    """Return the next number; issues and pull requests share them."""
    number = row.next_number
    row.next_number += 1
    return number


def open_pull(
    scope: Scope,
    base: Repository,
    author: Account,
    *,
    head: str,
    base_ref: str,
    title: str,
    body: str | None = None,
    draft: bool = False,
) -> Pull:
    """Open a pull request; `head` is BRANCH, or OWNER:BRANCH of a fork. Raise 422 as GitHub does."""
    head_repository, head_ref = _head(scope, base, head)
    head_sha = scope.store.resolve(head_repository.id, f"refs/heads/{head_ref}")
    base_sha = scope.store.resolve(base.id, f"refs/heads/{base_ref}")
    for field, sha in (("head", head_sha), ("base", base_sha)):
        if sha is None:
            raise invalid("Validation Failed", {"resource": "PullRequest", "field": field, "code": "invalid"})
    _refuse_duplicate(scope, base, head_repository, head_ref, base_ref)
    if scope.store.is_ancestor(head_repository.id, str(head_sha), str(base_sha)):
        raise _failed(f"No commits between {base_ref} and {head_ref}")
    issue = Issue(repository=base, number=take_number(base), user=author, title=title, body=body)
    issue.created_at = issue.updated_at = now()
    pull = Pull(issue=issue, head_repository=head_repository, head_owner=head_repository.owner)
    pull.head_ref, pull.head_sha = head_ref, str(head_sha)
    pull.base_ref, pull.base_sha, pull.draft = base_ref, str(base_sha), draft
    scope.session.add(pull)
    scope.session.flush()
    _refresh(scope, pull)
    events.pull_request(scope, pull, author, "opened")
    return pull


def _failed(message: str) -> ApiError:
    error = {"resource": "PullRequest", "code": "custom", "message": message}
    return invalid("Validation Failed", error)


def _head(scope: Scope, base: Repository, head: str) -> tuple[Repository, str]:
    owner, colon, branch = head.partition(":")
    if not colon:
        return base, head
    if owner.lower() == base.owner.login.lower():
        return base, branch
    account = scope.account(owner)
    forks = select(Repository).where(Repository.parent_id == base.id)
    fork = scope.session.scalar(forks.where(Repository.owner_id == account.id)) if account else None
    if fork is None:
        raise invalid("Validation Failed", {"resource": "PullRequest", "field": "head", "code": "invalid"})
    return fork, branch


def _refuse_duplicate(scope: Scope, base: Repository, head: Repository, head_ref: str, base_ref: str) -> None:
    query = (
        select(Pull)
        .join(Pull.issue)
        .where(
            Issue.repository_id == base.id,
            Issue.state == "open",
            Pull.head_repository_id == head.id,
            Pull.head_ref == head_ref,
            Pull.base_ref == base_ref,
        )
    )
    if scope.session.scalar(query) is not None:
        raise _failed(f"A pull request already exists for {head.owner.login}:{head_ref}.")


def _refresh(scope: Scope, pull: Pull) -> None:
    """Bring refs/pull/N/head and /merge, and whether it merges, up to the pull request's two SHAs."""
    base, number = pull.issue.repository_id, pull.issue.number
    if pull.head_repository_id is not None:
        scope.store.fetch_pull_head(base, pull.head_repository_id, pull.head_sha, number)
    message = f"Merge {pull.head_sha} into {pull.base_sha}"
    merged = scope.store.merge(base, pull.base_sha, pull.head_sha, message)
    pull.mergeable, pull.merge_commit_sha = merged is not None, merged
    if merged is not None:
        scope.store.update_ref(base, f"refs/pull/{number}/merge", merged)


def move_head(scope: Scope, pull: Pull, pusher: Account, sha: str) -> None:
    """Follow a push to the head branch."""
    before, pull.head_sha = pull.head_sha, sha
    pull.issue.updated_at = now()
    _refresh(scope, pull)
    events.pull_request(scope, pull, pusher, "synchronize", {"before": before, "after": sha})


def move_base(scope: Scope, pull: Pull, pusher: Account, sha: str) -> None:
    """Follow a push to the base branch: it merges the pull request if it now contains its head."""
    if scope.store.is_ancestor(pull.issue.repository_id, pull.head_sha, sha):
        pull.merge_commit_sha = sha
        _close_merged(scope, pull, pusher)
        return
    pull.base_sha = sha
    _refresh(scope, pull)


def close(scope: Scope, pull: Pull, actor: Account) -> None:
    """Close without merging."""
    issue = pull.issue
    issue.state, issue.closed_at, issue.updated_at = "closed", now(), now()
    events.pull_request(scope, pull, actor, "closed")


def reopen(scope: Scope, pull: Pull, actor: Account) -> None:
    """Open again what was closed and not merged; the head is wherever its branch is now."""
    if pull.merged_at is not None:
        raise _failed("The pull request cannot be reopened: it is merged.")
    source = pull.head_repository_id
    head = scope.store.resolve(source, f"refs/heads/{pull.head_ref}") if source else None
    if head is None:
        raise _failed(f"The {pull.head_ref} branch has been deleted.")
    issue = pull.issue
    issue.state, issue.closed_at, issue.updated_at = "open", None, now()
    pull.head_sha = head
    _refresh(scope, pull)
    events.pull_request(scope, pull, actor, "reopened")


def merge(scope: Scope, pull: Pull) -> str:
    """Merge by a merge commit on the base branch and return its SHA; the caller records it as a push."""
    base = pull.issue.repository
    if pull.issue.state != "open" or not pull.mergeable:
        raise ApiError(405, "Pull Request is not mergeable")
    message = f"Merge pull request #{pull.issue.number} from {pull.head_label}\n\n{pull.issue.title}"
    sha = scope.store.merge(base.id, pull.base_sha, pull.head_sha, message)
    if sha is None:
        raise ApiError(405, "Pull Request is not mergeable")
    scope.store.update_ref(base.id, f"refs/heads/{pull.base_ref}", sha)
    return sha


def _close_merged(scope: Scope, pull: Pull, actor: Account) -> None:
    pull.merged_at, pull.merged_by = now(), actor
    close(scope, pull, actor)
