"""The repository that `raas init` writes; the files lie in the folder `starter` beside this module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

FILES = {"run.py": "run.py", ".raas.yml": "raas.yml", "README.md": "README.md", ".gitignore": "gitignore"}
"""Names in the repository, and of the files here."""
RESULTS_FOLDER = "raas-results"
"""Where local runs leave their results; never part of the source, and in the starter's .gitignore."""
_HERE = Path(__file__).parent / "starter"
PROGRAM = _HERE / "run.py"
"""The program that balances."""


def write(folder: Path) -> Iterator[tuple[str, bool]]:
    """Write what is missing in `folder`; each name, and whether it was written or had been there.

    Raises:
        OSError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in FILES.items():
        try:
            with (folder / name).open("xb") as file:
                file.write((_HERE / source).read_bytes())
        except FileExistsError:  # each file is its own
            yield name, False
        else:
            yield name, True
