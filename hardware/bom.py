"""The bill of materials: `bom.csv` as the table in `README.md`.

python -m hardware.bom            write the table between the markers of README.md
python -m hardware.bom --check    exit status 1 where README.md differs
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
BEGIN = "<!-- bom.csv begins: python -m hardware.bom writes this -->"
END = "<!-- bom.csv ends -->"
OPTIONAL = "(optional)"


class BomError(ValueError):
    """`bom.csv` or the README has a fault; the message says where."""


def read(path: Path = HERE / "bom.csv") -> list[dict[str, str]]:
    """The rows of the list, checked: every cell filled, counts and prices above zero.

    Raises:
        BomError: A row is incomplete or has no sensible number.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows, start=2):
        if None in row or not all(row.values()):
            raise BomError(
                f"{path.name} line {number}: every column needs a value, commas inside need quotes"
            )
        for column in ("Quantity", "EUR", "USD"):
            try:
                good = float(row[column]) > 0
            except ValueError:
                good = False
            if not good:
                raise BomError(
                    f"{path.name} line {number}: {column} is {row[column]!r}, not a number above 0"
                )
    return rows


def total(rows: Sequence[dict[str, str]], currency: str, optional: bool = False) -> float:
    """What the parts cost together; the prices are those of one line, all its pieces."""
    return sum(float(row[currency]) for row in rows if optional or OPTIONAL not in row["Group"])


def table(rows: Sequence[dict[str, str]]) -> str:
    """The list as a Markdown table with the sums below."""
    columns = ["Part", "Specification", "Quantity", "EUR", "USD", "Replacement"]
    lines = ["| " + " | ".join(["Group", *columns]) + " |", "|---|---|---|--:|--:|--:|---|"]
    group = ""
    for row in rows:
        shown = row["Group"] if row["Group"] != group else ""
        group = row["Group"]
        lines.append("| " + " | ".join([shown, *(row[column] for column in columns)]) + " |")
    sums = [f"{total(rows, currency):.0f}" for currency in ("EUR", "USD")]
    full = [f"{total(rows, currency, optional=True):.0f}" for currency in ("EUR", "USD")]
    lines.append(f"| | **Together** | without the optional parts | | **{sums[0]}** | **{sums[1]}** | |")
    lines.append(f"| | **All** | | | **{full[0]}** | **{full[1]}** | |")
    return "\n".join(lines)


def with_table(readme: str, rows: Sequence[dict[str, str]]) -> str:
    """`readme` with the table between its markers.

    Raises:
        BomError: The markers are missing.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BomError(f"README.md needs the lines {BEGIN!r} and {END!r}")
    return f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{after}"


def main(arguments: Sequence[str]) -> int:
    """Write the table, or with `--check` only compare it."""
    path = HERE / "README.md"
    there = path.read_text(encoding="utf-8")
    wanted = with_table(there, read())
    if "--check" not in arguments:
        path.write_text(wanted, encoding="utf-8")
    elif there != wanted:
        print("the table in hardware/README.md is not bom.csv's: run python -m hardware.bom", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
