"""The documents of `hardware/`: what has a source is what the source makes, and what is said is true."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hardware import bom
from hardware.sizing import Bridge, Motor, Pendulum, bob_for, report, size
from hardware.wiring import draw
from raas_gym.dynamics import MEASURED

HARDWARE = Path(__file__).parents[2] / "hardware"
DOCUMENTS = sorted([HARDWARE / "README.md", *(HARDWARE / "docs").glob("*.md")])


@pytest.fixture
def wiring() -> dict[str, Any]:
    return draw.load()


def test_committed_wiring_files_are_what_the_source_makes(wiring: dict[str, Any]) -> None:
    for path, content in draw.written_files(wiring).items():
        assert path.read_text(encoding="utf-8") == content, (
            f"run python -m hardware.wiring.draw ({path.name})"
        )


def test_every_pin_is_joined_and_named_in_the_drawing(wiring: dict[str, Any]) -> None:
    ends = {end for wire in wiring["wires"] for end in (wire["from"], wire["to"]) if isinstance(end, str)}
    pins = {
        f"{name}.{pin}"
        for name, block in wiring["blocks"].items()
        for side in ("left", "right", "bottom")
        for pin in block.get(side, {})
    }
    assert pins == ends
    for name in wiring["profiles"]:
        svg = draw.Drawing(wiring, name).svg()
        for gpio in wiring["profiles"][name]["gpio"].values():
            assert f"GPIO{gpio} · pin {draw.Header(wiring['header']).pin_of(gpio)}<" in svg


def test_header_is_the_one_of_the_raspberry_pi(wiring: dict[str, Any]) -> None:
    header = draw.Header(wiring["header"])
    known = {
        2: 3,
        3: 5,
        4: 7,
        14: 8,
        15: 10,
        18: 12,
        23: 16,
        24: 18,
        10: 19,
        11: 23,
        8: 24,
        12: 32,
        13: 33,
        19: 35,
    }
    assert {gpio: header.pin_of(gpio) for gpio in known} == known
    assert {header.pin_of(gpio) for gpio in range(28)} | {1, 2, 4, 6, 9, 14, 17, 20, 25, 30, 34, 39} == set(
        range(1, 41)
    )


def test_lines_that_must_be_safe_are_pulled_down_from_power_on(wiring: dict[str, Any]) -> None:
    for profile in wiring["profiles"].values():
        assert all(9 <= profile["gpio"][line] <= 27 for line in ("enable", "stop"))
        if profile["pwm"] == "hardware":
            assert {profile["gpio"]["in1"], profile["gpio"]["in2"]} in ({12, 13}, {18, 19})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda w: w["profiles"]["standard"]["gpio"].update(stop=26), "uses a GPIO twice"),
        (lambda w: w["profiles"]["standard"]["gpio"].update(stop=40), "GPIO 40 is not on the header"),
        (
            lambda w: w["wires"].append({"from": "pi.1", "to": "pi.nose", "colour": "GND", "text": ""}),
            "pi.nose",
        ),
        (lambda w: w["wires"][0].pop("bends", None) or w["wires"][4].pop("bends"), "not square"),
    ],
)
def test_a_contradiction_is_named(wiring: dict[str, Any], change: Any, says: str) -> None:
    change(wiring)
    with pytest.raises(draw.WiringError, match=says):
        draw.written_files(wiring)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_pins_in_the_documents_are_right(document: Path, wiring: dict[str, Any]) -> None:
    header = draw.Header(wiring["header"])
    for pin, gpio in re.findall(r"pin (\d+) \(GPIO(\d+)\)", document.read_text(encoding="utf-8")):
        assert header.pin_of(int(gpio)) == int(pin)


def test_wiring_page_names_every_signal(wiring: dict[str, Any]) -> None:
    page = (HARDWARE / "docs" / "wiring.md").read_text(encoding="utf-8")
    for gpio in wiring["profiles"]["standard"]["gpio"].values():
        assert f"(GPIO{gpio})" in page


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target, anchor in re.findall(
        r"\]\(([^)#:\s]*)(?:#([^)\s]+))?\)", document.read_text(encoding="utf-8")
    ):
        file = (document.parent / target).resolve() if target else document
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{target}#{anchor}"


def test_parts_list_and_table_agree() -> None:
    readme = (HARDWARE / "README.md").read_text(encoding="utf-8")
    assert bom.with_table(readme, bom.read()) == readme, "run python -m hardware.bom"
    assert f"about EUR {round(bom.total(bom.read(), 'EUR', optional=True), -1):.0f}" in readme


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("Drive,Motor,12 V,1,48,50", "line 2: every column"),
        ("Drive,Motor,12 V,1,48,50,none,more", "line 2: every column"),
        ("Drive,Motor,12 V,none,48,50,-", "Quantity is 'none'"),
        ("Drive,Motor,12 V,1,-3,50,-", "EUR is '-3'"),
    ],
)
def test_a_faulty_parts_list_is_refused(tmp_path: Path, row: str, says: str) -> None:
    path = tmp_path / "bom.csv"
    path.write_text(f"Group,Part,Specification,Quantity,EUR,USD,Replacement\n{row}\n", encoding="utf-8")
    with pytest.raises(bom.BomError, match=says):
        bom.read(path)


def test_a_readme_without_markers_is_refused() -> None:
    with pytest.raises(bom.BomError, match="needs the lines"):
        bom.with_table("# The pendulum\n", bom.read())


def test_the_reference_build_is_the_pendulum_of_the_simulation() -> None:
    motor, bridge = Motor(), Bridge()
    s = size(motor, bridge, Pendulum())
    assert s.gravity == pytest.approx(MEASURED.gravity, rel=0.01)
    assert s.torque_gain == pytest.approx(MEASURED.torque_gain, rel=0.05)
    assert s.dead_zone == pytest.approx(0.12, abs=0.02)  # what the robots of 2020 measured
    assert s.swing_speed < s.top_speed < 25.0
    assert motor.stall_amps < bridge.max_amps
    assert s.edges_per_s == pytest.approx(1500, rel=0.05)


def test_sizing_by_hand() -> None:
    """A point mass at 1 m without rod and rotor: J = m, S = m."""
    point = Pendulum(rod_mass=1e-9, rod_length=1.02, rod_above=0.01, bob_mass=0.5, bob_radius=1.0)
    motor = Motor(volts=10, stall_amps=2, rotor_inertia=0.0, stall_kgcm=10.0)
    s = size(motor, Bridge(on_drop=0.0, off_drop=0.0), point)
    assert s.inertia == pytest.approx(0.5, rel=1e-6)
    assert s.gravity == pytest.approx(9.81, rel=1e-6)
    assert (s.volts, s.amps, s.motor_watts) == pytest.approx((5.0, 1.0, 5.0))
    assert s.torque_gain == pytest.approx(0.981 / 2 / 0.5 / 2)


def test_torque_fades_between_the_limits_of_a_slow_and_a_fast_winding() -> None:
    bridge, speed = Bridge(), 10.0
    slow, fast = Motor(electrical_s=1.0), Motor(electrical_s=1e-6)
    emf = slow.back_emf * speed
    assert bridge.mean_amps(slow, 0.5, speed) == pytest.approx(
        (bridge.mean_volts(12.0, 0.5) - emf) / slow.ohms
    )
    assert bridge.mean_amps(fast, 0.5, speed) == pytest.approx(0.5 * (12.0 - 1.6 - emf) / fast.ohms, rel=0.01)
    between = [
        size(Motor(electrical_s=tau), bridge, Pendulum()).no_load_speed for tau in (1e-3, 5e-4, 2e-4, 5e-5)
    ]
    assert between == sorted(between)
    assert between[0] < MEASURED.no_load_speed < between[-1]


def test_the_table_of_rods_is_what_the_formulas_say() -> None:
    page = (HARDWARE / "docs" / "build.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) g \| ([\d.]+) g \| ([\d.]+) g·m² \| ([\d.]+) \|$", page, re.MULTILINE)
    assert len(rows) == 7
    for grams, *wanted in rows:
        rod = replace(Pendulum(), rod_mass=int(grams) / 1e3)
        rod = replace(rod, bob_mass=bob_for(Motor(), rod))
        s = size(Motor(), Bridge(), rod)
        assert wanted == [f"{rod.bob_mass * 1e3:.1f}", f"{s.inertia * 1e3:.2f}", f"{s.torque_gain:.1f}"]
        assert s.gravity == pytest.approx(MEASURED.gravity)
    assert report(Motor(), Bridge(), Pendulum()) in page


def test_an_impossible_bob_is_said() -> None:
    with pytest.raises(ValueError, match="change rod length or radius"):
        bob_for(Motor(), replace(Pendulum(), bob_radius=0.2))
