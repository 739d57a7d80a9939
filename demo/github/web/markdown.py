"""GitHub-flavoured Markdown to safe HTML: what a comment or a check run may show."""

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup

_PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

_ATTRIBUTES = {
    **nh3.ALLOWED_ATTRIBUTES,
    "a": {"href", "title"},
    "details": {"open"},
    "th": {"style"},  # the column's alignment; nothing else of a style passes, see below
    "td": {"style"},
    "code": {"class"},
}


def render(text: str | None) -> Markup:
    """Return HTML without scripts, forms, styles or foreign frames, whatever the text contains."""
    html = nh3.clean(
        _PARSER.render(text or ""),
        attributes=_ATTRIBUTES,
        filter_style_properties={"text-align"},
        url_schemes={"http", "https", "mailto"},
        link_rel="nofollow noopener",
    )
    return Markup(html)  # noqa: S704  -- cleaned just above
