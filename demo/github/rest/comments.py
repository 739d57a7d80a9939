"""Reference: Issue comments and reactions."""

from flask import request
from sqlalchemy import select

from demo.github import access, events
from demo.github.errors import ApiError, not_found
from demo.github.models import Account, App, Comment, Issue, Reaction, Repository
from demo.github.rest import fields, paging
from demo.github.rest.api import Answer, Api, Call
from demo.github.rest.pulls import issue_of
from demo.github.scope import Scope, now
from demo.github.shapes import conversations
from demo.github.shapes.conversations import REACTIONS

MAX_COMMENT_CHARACTERS = 65536

_READ = {"issues": "read", "pull_requests": "read"}


def add(api: Api) -> None:
    """Register the chapter."""
    repo = "/repos/<owner>/<repo>"
    one = f"{repo}/issues/comments/<int:comment_id>"
    api.route("GET", f"{repo}/issues/<int:issue_number>/comments")(list_comments)
    api.route("POST", f"{repo}/issues/<int:issue_number>/comments", content=True)(create_comment)
    api.route("GET", one)(get_comment)
    api.route("PATCH", one)(update_comment)
    api.route("DELETE", one)(delete_comment)
    api.route("GET", f"{one}/reactions")(list_reactions)
    api.route("POST", f"{one}/reactions", content=True)(create_reaction)
    api.route("DELETE", f"{one}/reactions/<int:reaction_id>")(delete_reaction)


def _writing(issue: Issue) -> dict[str, str]:
    """Return what an App needs to write into a conversation."""
    return {"pull_requests": "write", "issues": "write"} if issue.pull else {"issues": "write"}


def _find(call: Call, row: Repository, comment_id: int) -> Comment:
    comment = call.scope.session.get(Comment, comment_id)
    if comment is None or comment.issue.repository_id != row.id:
        raise not_found()
    return comment


def list_comments(call: Call, owner: str, repo: str, issue_number: int) -> Answer:
    """List a conversation's comments, oldest first; `since` keeps those updated at that time or later."""
    row = call.repository(owner, repo, _READ)
    since = request.args.get("since")
    start = fields.moment(since, "since") if since else 0
    found = [it for it in issue_of(call.scope, row, issue_number).comments if it.updated_at >= start]
    shown, headers = paging.page(call.hub.settings, found)
    return Answer([conversations.comment(call.scope, it) for it in shown], headers=headers)


def post_comment(scope: Scope, issue: Issue, author: Account, app: App | None, body: str) -> Comment:
    """Add a comment and tell of it; pages and API share this."""
    if len(body) > MAX_COMMENT_CHARACTERS:
        raise fields.wrong(f"body is too long (maximum is {MAX_COMMENT_CHARACTERS} characters)")
    comment = Comment(issue=issue, user=author, app=app, body=body, created_at=now(), updated_at=now())
    issue.updated_at = now()
    scope.session.add(comment)
    scope.session.flush()
    events.issue_comment(scope, comment, author, "created")
    return comment


def create_comment(call: Call, owner: str, repo: str, issue_number: int) -> Answer:
    """Add a comment."""
    body = call.body()
    row = call.repository(owner, repo, _READ)
    issue = issue_of(call.scope, row, issue_number)
    access.require(call.scope, call.who, row, _writing(issue))
    author, app = call.actor()
    if issue.locked and access.role(call.scope, author, row) == "none":
        raise ApiError(403, "Unable to create comment because issue is locked.")
    document = conversations.comment(
        call.scope, post_comment(call.scope, issue, author, app, fields.text(body, "body"))
    )
    return Answer(document, 201, {"Location": document["url"]})


def get_comment(call: Call, owner: str, repo: str, comment_id: int) -> Answer:
    """Tell of a comment."""
    row = call.repository(owner, repo, _READ)
    return Answer(conversations.comment(call.scope, _find(call, row, comment_id)))


def _own_or_write(call: Call, comment: Comment) -> Account:
    """Let the author pass, and people who may write."""
    row = comment.issue.repository
    actor, app = call.actor()
    own = actor.id == comment.user_id
    access.require(call.scope, call.who, row, _writing(comment.issue), "read" if own or app else "write")
    return actor


def update_comment(call: Call, owner: str, repo: str, comment_id: int) -> Answer:
    """Change a comment's text."""
    body = call.body()
    comment = _find(call, call.repository(owner, repo, _READ), comment_id)
    actor = _own_or_write(call, comment)
    before = comment.body
    comment.body, comment.updated_at = fields.text(body, "body"), now()
    events.issue_comment(call.scope, comment, actor, "edited", {"changes": {"body": {"from": before}}})
    return Answer(conversations.comment(call.scope, comment))


def delete_comment(call: Call, owner: str, repo: str, comment_id: int) -> Answer:
    """Remove a comment."""
    comment = _find(call, call.repository(owner, repo, _READ), comment_id)
    actor = _own_or_write(call, comment)
    events.issue_comment(call.scope, comment, actor, "deleted")
    call.scope.session.delete(comment)
    return Answer(None, 204)


def list_reactions(call: Call, owner: str, repo: str, comment_id: int) -> Answer:
    """List a comment's reactions."""
    comment = _find(call, call.repository(owner, repo, _READ), comment_id)
    shown, headers = paging.page(call.hub.settings, comment.reactions)
    return Answer([conversations.reaction(call.scope, it) for it in shown], headers=headers)


def create_reaction(call: Call, owner: str, repo: str, comment_id: int) -> Answer:
    """React to a comment: 201, or 200 when this account already did so.

    On a pull request GitHub asks an App for `pull_requests: write`; `issues: write` is not enough there.
    """
    content = fields.choice(call.body(), "content", REACTIONS)
    row = call.repository(owner, repo, _READ)
    comment = _find(call, row, comment_id)
    needs = {"pull_requests": "write"} if comment.issue.pull else {"issues": "write"}
    access.require(call.scope, call.who, row, needs)
    if content is None:
        raise fields.wrong('"content" wasn\'t supplied.')
    actor, _ = call.actor()
    query = select(Reaction).where(
        Reaction.comment_id == comment.id, Reaction.user_id == actor.id, Reaction.content == content
    )
    reaction = call.scope.session.scalar(query)
    status = 200
    if reaction is None:
        status = 201
        reaction = Reaction(user=actor, content=content, created_at=now())
        comment.reactions.append(reaction)
        call.scope.session.flush()
    return Answer(conversations.reaction(call.scope, reaction), status)


def delete_reaction(call: Call, owner: str, repo: str, comment_id: int, reaction_id: int) -> Answer:
    """Take a reaction back."""
    comment = _find(call, call.repository(owner, repo, _READ), comment_id)
    actor, _ = call.actor()
    for reaction in comment.reactions:
        if reaction.id == reaction_id and reaction.user_id == actor.id:
            comment.reactions.remove(reaction)
            return Answer(None, 204)
    raise not_found()
