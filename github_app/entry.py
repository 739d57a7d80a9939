"""What `raas-server` starts with: a plain installation has the command, but not all it needs.

Nothing of ours is imported before the command: `cli` says why.
"""

from __future__ import annotations

import sys


def main() -> None:
    """`raas-server`, or what to install."""
    try:
        from github_app.cli import main as command  # noqa: PLC0415 - it needs what may be missing

        command()
    except ModuleNotFoundError as error:
        sys.exit(f"raas-server: {error.name} is missing: pip install 'raas-gym[server]'")
