"""What `raas` and `raas-runner` start with: a plain installation has both, but not all they need."""

from __future__ import annotations

import sys


def raas() -> None:
    """`raas`, or what to install."""
    try:
        from runner.raas_cli import raas as command  # noqa: PLC0415 - it needs what may be missing

        command()
    except ModuleNotFoundError as error:
        sys.exit(f"raas: {error.name} is missing: pip install 'raas-gym[cli]'")


def raas_runner() -> None:
    """`raas-runner`, or what to install."""
    try:
        from runner.cli import raas_runner as command  # noqa: PLC0415 - it needs what may be missing

        command()
    except ModuleNotFoundError as error:
        sys.exit(f"raas-runner: {error.name} is missing: pip install 'raas-gym[runner]'")
