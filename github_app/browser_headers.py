"""What every answer tells browsers, whoever gives it."""

from __future__ import annotations

from github_app.config import Settings

_ALWAYS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
NOTHING_POLICY = "default-src 'none'"
"""The content policy of what is no page."""


def fixed(settings: Settings) -> dict[str, str]:
    """The same for every answer of this server; an answer that says otherwise itself keeps its own."""
    if not settings.public_url.startswith("https://"):
        return _ALWAYS
    return {**_ALWAYS, "Strict-Transport-Security": "max-age=31536000"}
