"""Pull requests, comments, check runs and their buttons."""

from urllib.parse import quote

from demo.github.world.connection import Connection, Json


class Conversations(Connection):
    """What people say and see, and what they click."""

    def open_pull(
        self,
        full_name: str,
        *,
        head: str,
        user: str,
        base: str = "main",
        title: str = "Try this",
        body: str = "",
    ) -> Json:
        """Open a pull request; `head` is BRANCH, or OWNER:BRANCH of a fork."""
        fields = {"head": head, "base": base, "title": title, "body": body}
        found: Json = self.call(self.user(user).token, "POST", f"/repos/{full_name}/pulls", **fields)
        return found

    def close_pull(self, full_name: str, number: int, *, user: str) -> Json:
        """Close a pull request."""
        return self._set_state(full_name, number, user, "closed")

    def reopen_pull(self, full_name: str, number: int, *, user: str) -> Json:
        """Reopen a pull request."""
        return self._set_state(full_name, number, user, "open")

    def _set_state(self, full_name: str, number: int, user: str, state: str) -> Json:
        token = self.user(user).token
        found: Json = self.call(token, "PATCH", f"/repos/{full_name}/pulls/{number}", state=state)
        return found

    def merge_pull(self, full_name: str, number: int, *, user: str) -> str:
        """Merge a pull request and return the merge commit's SHA."""
        return str(self.admin("merge", full_name=full_name, number=number, user=user)["sha"])

    def open_issue(self, full_name: str, *, user: str, title: str = "A question") -> Json:
        """Open an issue that is no pull request."""
        found: Json = self.call(self.user(user).token, "POST", f"/repos/{full_name}/issues", title=title)
        return found

    def comment(self, full_name: str, number: int, body: str, *, user: str) -> Json:
        """Comment on an issue or a pull request."""
        path = f"/repos/{full_name}/issues/{number}/comments"
        found: Json = self.call(self.user(user).token, "POST", path, body=body)
        return found

    def comments(self, full_name: str, number: int) -> list[Json]:
        """Return the comments, oldest first."""
        return self.every(full_name, f"/issues/{number}/comments")

    def reactions(self, full_name: str, comment_id: int) -> list[Json]:
        """Return a comment's reactions."""
        return self.every(full_name, f"/issues/comments/{comment_id}/reactions")

    def check_runs(self, full_name: str, ref: str, *, app_id: int | None = None) -> list[Json]:
        """Return all check runs of a commit, newest first."""
        only = f"&app_id={app_id}" if app_id else ""
        return self.every(full_name, f"/commits/{quote(ref)}/check-runs?filter=all{only}", "check_runs")

    def annotations(self, full_name: str, check_run_id: int) -> list[Json]:
        """Return a check run's annotations."""
        return self.every(full_name, f"/check-runs/{check_run_id}/annotations")

    def rerequest(self, full_name: str, check_run_id: int, *, user: str) -> None:
        """Click "Re-run" at a check run."""
        self.user(user)
        self.admin("rerequest", full_name=full_name, check_run_id=check_run_id, user=user)

    def rerequest_suite(self, full_name: str, check_suite_id: int, *, user: str) -> None:
        """Click "Re-run all checks"."""
        self.user(user)
        self.admin("rerequest", full_name=full_name, check_suite_id=check_suite_id, user=user)

    def press(self, full_name: str, check_run_id: int, identifier: str, *, user: str) -> None:
        """Click a check run's button."""
        self.user(user)
        self.admin("press", full_name=full_name, check_run_id=check_run_id, identifier=identifier, user=user)
