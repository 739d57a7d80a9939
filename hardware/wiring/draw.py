"""Write the wiring diagrams and the pin files from `wiring.yml`.

    python -m hardware.wiring.draw            write them
    python -m hardware.wiring.draw --check    exit status 1 where a written file differs

The drawing is plain SVG without scripts or fonts of its own. Units: SVG user units (pixels at 100 %).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import yaml

HERE = Path(__file__).parent
PITCH = 37
"""Distance of two rows in the picture of the header."""

Point = tuple[float, float]


class WiringError(ValueError):
    """`wiring.yml` contradicts itself; the message says where."""


@dataclass(frozen=True)
class Header:
    """The Pi's 40-pin header: which name sits on which pin."""

    rows: Sequence[Sequence[str]]

    def pin_of(self, gpio: int) -> int:
        """The header pin (1 to 40) of a GPIO (Broadcom's number).

        Raises:
            WiringError: The header has no such GPIO.
        """
        for row, names in enumerate(self.rows):
            for column, name in enumerate(names):
                if name == f"GPIO{gpio}":
                    return 2 * row + column + 1
        raise WiringError(f"GPIO {gpio} is not on the header")

    def name_of(self, pin: int) -> str:
        """What a header pin (1 to 40) is called."""
        return self.rows[(pin - 1) // 2][(pin - 1) % 2]


@dataclass
class Sheet:
    """SVG elements in the order in which they are painted."""

    colours: Mapping[str, str]
    elements: list[str] = field(default_factory=list)

    def line(self, points: Iterable[Point], colour: str, width: float = 2.5) -> None:
        """A polyline with a white edge, so that a crossing does not look like a joint."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        for stroke, thick in (("#ffffff", width + 4), (colour, width)):
            self.elements.append(
                f'<polyline points="{path}" fill="none" stroke="{stroke}" stroke-width="{thick:g}"/>'
            )

    def box(self, x: float, y: float, width: float, height: float, style: str) -> None:
        """A rectangle; `style` holds its further attributes."""
        self.elements.append(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" {style}/>')

    def circle(self, at: Point, radius: float, style: str) -> None:
        """A circle; `style` holds its further attributes."""
        self.elements.append(f'<circle cx="{at[0]:g}" cy="{at[1]:g}" r="{radius:g}" {style}/>')

    def text(self, at: Point, words: str, style: str = "") -> None:
        """A line of text that begins at `at`, unless `style` sets another anchor."""
        self.elements.append(f'<text x="{at[0]:g}" y="{at[1]:g}" {style}>{escape(words)}</text>')


class Drawing:
    """One profile of the wiring as SVG.

    Args:
        wiring: The whole of `wiring.yml`.
        profile: Which of its profiles.
    """

    def __init__(self, wiring: Mapping[str, Any], profile: str) -> None:
        self._wiring = wiring
        self._profile = wiring["profiles"][profile]
        self._header = Header(wiring["header"])
        self._gpio: dict[str, int] = {**self._profile["gpio"], **wiring["fixed_gpio"]}
        self._sheet = Sheet(wiring["colours"])
        self._pins = self._place_pins()

    def svg(self) -> str:
        """The document."""
        width, height = self._wiring["sheet"]["width"], self._wiring["sheet"]["height"]
        self._sheet.box(0, 0, width, height, 'fill="#ffffff"')
        self._sheet.text((30, 45), self._profile["title"], 'font-size="26" font-weight="bold"')
        for wire in self._wiring["wires"]:
            self._draw_wire(wire)
        for part in self._wiring["parts"]:
            self._draw_part(part)
        for x, y in self._wiring["dots"]:
            self._sheet.circle((x, y), 5, 'fill="#222222"')
        for name, block in self._wiring["blocks"].items():
            self._draw_block(name, block)
        self._draw_header()
        notes: Sequence[str] = self._wiring["notes"]
        for number, note in enumerate(notes):
            self._sheet.text((330, height + 20 + 24 * number), note)
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height + 110}" '
                f'width="{width}" height="{height + 110}" role="img" '
                f'font-family="DejaVu Sans, Verdana, sans-serif" font-size="14" fill="#222222">',
                f"<title>{escape(self._profile['title'])}</title>",
                f'<rect width="{width}" height="{height + 110}" fill="#ffffff"/>',
                *self._sheet.elements,
                "</svg>\n",
            ]
        )

    def _place_pins(self) -> dict[str, Point]:
        """Where a wire meets each pin, by `block.pin`."""
        places: dict[str, Point] = {}
        for name, block in self._wiring["blocks"].items():
            x, y, width, height = block["box"]
            for pin, at in block.get("left", {}).items():
                places[f"{name}.{pin}"] = (x, at)
            for pin, at in block.get("right", {}).items():
                places[f"{name}.{pin}"] = (x + width, at)
            for pin, at in block.get("bottom", {}).items():
                places[f"{name}.{pin}"] = (at, y + height)
        return places

    def _end(self, end: str | Sequence[float]) -> Point:
        if not isinstance(end, str):
            return (end[0], end[1])
        if end not in self._pins:
            raise WiringError(f"a wire ends at {end!r}, which no block has")
        return self._pins[end]

    def _draw_wire(self, wire: Mapping[str, Any]) -> None:
        start, end = self._end(wire["from"]), self._end(wire["to"])
        points = [start]
        for number, bend in enumerate(wire.get("bends", [])):
            x, y = points[-1]
            points.append((bend, y) if number % 2 == 0 else (x, bend))
        (x, y), (end_x, end_y) = points[-1], end
        if x != end_x and y != end_y:
            raise WiringError(f"the wire from {wire['from']} to {wire['to']} is not square: give it `bends`")
        colour = self._sheet.colours[wire["colour"]]
        self._sheet.line([*points, end], colour)
        if wire["text"]:
            left = min(start[0], points[1][0] if len(points) > 1 else end[0])
            self._sheet.text((left + 8, start[1] - 6), wire["text"], f'fill="{colour}" font-size="13"')

    def _draw_part(self, part: Mapping[str, Any]) -> None:
        if "across" not in part:
            self._draw_standing(part)
            return
        left, right, y = part["across"]
        middle = (left + right) / 2
        plain = 'fill="#ffffff" stroke="#222222" stroke-width="2"'
        if part["kind"] == "switch":
            # Two contacts, a bridge between them and the button above: normally closed.
            self._sheet.circle((left, y), 4, plain)
            self._sheet.circle((right, y), 4, plain)
            self._sheet.line([(left + 4, y - 3), (right - 4, y - 3)], "#222222")
            self._sheet.line([(middle, y - 3), (middle, y - 22)], "#222222", 2)
            self._sheet.box(middle - 20, y - 36, 40, 14, 'rx="7" fill="#c0271c" stroke="#222222"')
            self._sheet.text((middle, y - 44), part["text"], 'text-anchor="middle"')
            return
        self._sheet.box(left, y - 9, right - left, 18, plain)
        if part["kind"] == "fuse":
            self._sheet.line([(left, y), (right, y)], "#222222", 1.5)
        self._sheet.text((middle, y - 16), part["text"], 'text-anchor="middle"')

    def _draw_standing(self, part: Mapping[str, Any]) -> None:
        """A resistor from a wire down to another wire, or to ground."""
        x, top, bottom = part["down"] if "down" in part else part["between"]
        middle = (top + bottom) / 2
        self._sheet.line([(x, top), (x, bottom)], self._sheet.colours[part["colour"]])
        self._sheet.box(x - 9, middle - 20, 18, 40, 'fill="#ffffff" stroke="#222222" stroke-width="2"')
        for number in range(3 if "down" in part else 0):
            half = 14 - 5 * number
            y = bottom + 5 * number
            self._sheet.line([(x - half, y), (x + half, y)], "#222222", 2)
        self._sheet.text((x + 18, middle + 5), part["text"])

    def _draw_block(self, name: str, block: Mapping[str, Any]) -> None:
        x, y, width, height = block["box"]
        self._sheet.box(x, y, width, height, 'rx="6" fill="#f4f4f0" stroke="#222222" stroke-width="2"')
        self._sheet.text((x + width / 2, y + 24), block["title"], 'text-anchor="middle" font-weight="bold"')
        for pin, at in block.get("left", {}).items():
            self._pad((x, at))
            self._sheet.text((x + 12, at + 5), str(pin).strip())
        for pin, at in block.get("right", {}).items():
            words = self._pi_label(pin) if name == "pi" else str(pin).strip()
            self._sheet.line([(x + width, at), (x + width, at)], "#222222", 2)
            self._sheet.text((x + width - 12, at + 5), words, 'text-anchor="end"')
        for pin, at in block.get("bottom", {}).items():
            self._sheet.line([(at, y + height), (at, y + height)], "#222222", 2)
            self._sheet.text((at, y + height - 12), str(pin).strip(), 'text-anchor="middle"')

    def _pad(self, at: Point) -> None:
        self._sheet.box(at[0] - 4, at[1] - 4, 8, 8, 'fill="#222222"')

    def _pi_label(self, pin: str | int) -> str:
        if isinstance(pin, int):
            return f"{self._header.name_of(pin)} · pin {pin}"
        gpio = self._gpio[pin]
        return f"{self._wiring['signals'][pin]['name']} · GPIO{gpio} · pin {self._header.pin_of(gpio)}"

    def _used(self) -> dict[int, str]:
        """What each used header pin is for."""
        used = {
            self._header.pin_of(gpio): str(self._wiring["signals"][s]["name"])
            for s, gpio in self._gpio.items()
        }
        power = (pin for pin in self._wiring["blocks"]["pi"]["right"] if isinstance(pin, int))
        return used | {pin: self._header.name_of(pin) for pin in power}

    def _draw_header(self) -> None:
        """The header as one sees it, with the USB sockets pointing down."""
        used = self._used()
        left, top = 135, 150
        rows = len(self._wiring["header"])
        self._sheet.text((30, 85), "The header, USB sockets pointing down.", 'font-size="13"')
        self._sheet.text((30, 105), "Filled: used. Numbers: header pins.", 'font-size="13"')
        self._sheet.box(left - 22, top - 22, 78, rows * PITCH + 8, 'rx="4" fill="#333333"')
        for pin in range(1, 2 * rows + 1):
            column, row = (pin - 1) % 2, (pin - 1) // 2
            at = (left + 34 * column, top + PITCH * row)
            fill = "#f2c230" if pin in used else "#777777"
            shape = f'fill="{fill}" stroke="#111111"'
            if pin == 1:  # square, as on the board
                self._sheet.box(at[0] - 13, at[1] - 13, 26, 26, shape)
            else:
                self._sheet.circle(at, 13, shape)
            style = f'text-anchor="middle" font-size="12" fill="{"#000000" if pin in used else "#ffffff"}"'
            self._sheet.text((at[0], at[1] + 4), str(pin), style)
            if pin in used:
                name = self._header.name_of(pin)
                lines = [name] if used[pin] == name else [used[pin].split(" (")[0], name]
                for number, words in enumerate(lines):
                    anchor = "end" if column == 0 else "start"
                    x = at[0] + (-28 if column == 0 else 28)
                    y = at[1] + 5 + 14 * (number - (len(lines) - 1) / 2)
                    self._sheet.text((x, y), words, f'text-anchor="{anchor}" font-size="12"')


def pin_file(wiring: Mapping[str, Any], profile: str) -> str:
    """The profile's pin numbers as shell assignments; systemd reads the same file."""
    chosen = wiring["profiles"][profile]
    signals = wiring["signals"]
    lines = [
        f"# Written from hardware/wiring/wiring.yml, profile {profile}. GPIO numbers are Broadcom's.",
        f"RAAS_WIRING={profile}",
        f"RAAS_PWM={chosen['pwm']}",
        *(f"{signals[signal]['env']}={gpio}" for signal, gpio in chosen["gpio"].items()),
    ]
    return "\n".join(lines) + "\n"


def written_files(wiring: Mapping[str, Any]) -> dict[Path, str]:
    """Every file this module writes, with its content.

    Raises:
        WiringError: `wiring` contradicts itself.
    """
    files: dict[Path, str] = {}
    for name, profile in wiring["profiles"].items():
        pins = [*profile["gpio"].values(), *wiring["fixed_gpio"].values()]
        if len(set(pins)) != len(pins):
            raise WiringError(f"profile {name} uses a GPIO twice")
        files[HERE / profile["svg"]] = Drawing(wiring, name).svg()
        files[HERE / profile["env"]] = pin_file(wiring, name)
    return files


def load() -> dict[str, Any]:
    """The content of `wiring.yml`."""
    content: dict[str, Any] = yaml.safe_load((HERE / "wiring.yml").read_text(encoding="utf-8"))
    return content


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with `--check` only compare them."""
    stale = 0
    for path, content in written_files(load()).items():
        if "--check" not in arguments:
            path.write_text(content, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != content:
            print(f"{path} is not what wiring.yml makes: run python -m hardware.wiring.draw", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
