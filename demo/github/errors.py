"""What the API answers when it cannot do what was asked: in GitHub's words, so that clients react alike."""

from typing import Any

DOCS = "https://docs.github.com/rest"


class ApiError(Exception):
    """An answer with an error status: `message`, optional `errors`, optional headers."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        errors: list[Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message
        self.errors = errors
        self.headers = headers or {}

    def body(self) -> dict[str, Any]:
        """GitHub's error document."""
        body: dict[str, Any] = {
            "message": self.message,
            "documentation_url": DOCS,
            "status": str(self.status),
        }
        if self.errors is not None:
            body["errors"] = self.errors
        return body


def bad_credentials() -> ApiError:
    """Say that the token is unknown, expired or revoked."""
    return ApiError(401, "Bad credentials")


def requires_authentication() -> ApiError:
    """Say that there was no token at all."""
    return ApiError(401, "Requires authentication")


def not_found() -> ApiError:
    """Say "not here" without saying whether it exists: that is how GitHub hides private repositories."""
    return ApiError(404, "Not Found")


def not_accessible() -> ApiError:
    """Say that an installation lacks the permission or the repository."""
    return ApiError(403, "Resource not accessible by integration")


def invalid(message: str, *errors: Any) -> ApiError:
    """Say that the request was understood and is wrong."""
    return ApiError(422, message, errors=list(errors) if errors else None)
