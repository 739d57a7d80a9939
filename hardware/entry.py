"""What `raas-controller` starts with: a plain installation has it, but not all it needs."""

from __future__ import annotations

import sys


def main() -> None:
    """`raas-controller`, or what to install."""
    try:
        from hardware.cli import main as command  # noqa: PLC0415 - it needs what may be missing

        command()
    except ModuleNotFoundError as error:
        sys.exit(f"raas-controller: {error.name} is missing: pip install 'raas-gym[hardware]'")
