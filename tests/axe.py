"""axe-core: what it finds wrong with a page's accessibility. From npm by exact version, into `.cache/`.

`python -m tests.axe` fetches it at set-up; afterwards no network is needed.
"""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page

from demo.openapi import cached

AXE = ("axe-core", "4.14.1", "axe.min.js")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def findings(page: Page) -> list[str]:
    """One line for each thing that axe finds; none is the bar."""
    # Evaluated from outside, where the page's own policy (no inline script) does not reach.
    page.evaluate(cached(*AXE).read_text())
    result: dict[str, Any] = page.evaluate("tags => axe.run({runOnly: tags})", RULES)
    return [
        f"{found['id']}: {found['help']}: {node['html'][:200]}"
        for found in result["violations"]
        for node in found["nodes"]
    ]


if __name__ == "__main__":
    print(f"{AXE[0]} {AXE[1]}: {cached(*AXE)}")
