"""The whole driver over the simulated rig, on a virtual clock: motion, rest, faults, calibration."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import gymnasium
import jsonschema
import numpy as np
import pytest

from hardware import calibration
from hardware.calibration import CalibrationError
from hardware.errors import StartupError
from hardware.identify import Fit
from hardware.passport import BOUNDS, Estimate, Passport, load_passport, save_passport, schema
from hardware.passport_plot import draw_plots, save_plots
from hardware.pins import Levels
from hardware.plant import HardwarePlant, Parts
from hardware.rig import COUNTS_PER_TURN, Rig, SimulatedPins, VirtualClock
from hardware.safety import Limits
from hardware.wires import Wires
from raas_gym.dynamics import RAW_MOTOR, TURN, PendulumParams, wrapped
from raas_gym.plants import PlantError

DT = 0.05
SCHEMA = Path(__file__).parents[2] / "hardware" / "passport.schema.json"


class LateClock(VirtualClock):
    """A clock as on a real machine: every wait ends some tenths of a millisecond late."""

    def __init__(self) -> None:
        super().__init__()
        self._random = random.Random(7)

    def sleep_until(self, t: float) -> None:
        super().sleep_until(t + self._random.expovariate(1.0 / 0.0004))


class Bench:
    """A rig and the driver on it."""

    def __init__(
        self,
        params: PendulumParams = RAW_MOTOR,
        passport: Passport | None = None,
        seed: int = 1,
        clock: VirtualClock | None = None,
    ) -> None:
        self.passport = passport or Passport()
        wires = Wires()
        self.rig = Rig(params, clock or VirtualClock(), seed=seed)
        self.clock = self.rig.clock
        parts = Parts(SimulatedPins(self.rig, Levels(None), wires), wires, self.clock)
        self.plant = HardwarePlant(
            parts, self.passport, self.passport.params(DT), limits=Limits(), simulated=True
        )
        self.said: list[str] = []

    def drive(self, torque: Callable[[float, float], float], ticks: int) -> None:
        for _ in range(ticks):
            theta, theta_dot = self.plant.measure()
            self.plant.apply(torque(theta, theta_dot))
            self.clock.sleep_until(self.clock.now() + DT)

    @property
    def true_zero(self) -> float:
        """The plant's count at which this rig really hangs."""
        theta, _ = self.rig.truth
        self.plant.motion()
        return self.plant.encoder.count - (theta - math.pi) * COUNTS_PER_TURN / TURN


@pytest.fixture
def bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(*arguments: object, **options: object) -> Bench:
        made.append(Bench(*arguments, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.plant.close()


def test_what_is_measured_is_true(bench: Callable[..., Bench]) -> None:
    b = bench()
    calibration.home(b.plant, b.passport)
    b.plant.reset(None, {})
    worst = 0.0
    for _ in range(200):
        b.plant.apply(1.5 if b.plant.measure().theta_dot >= 0 else -1.5)
        b.clock.sleep_until(b.clock.now() + DT)
        theta, theta_dot = b.plant.measure()
        true, true_dot = b.rig.truth
        assert abs(theta - true) < 2.0 * TURN / COUNTS_PER_TURN
        if abs(true_dot) < 19.0:
            worst = max(worst, abs(theta_dot - true_dot))
    assert worst < 1.2, "half the window's acceleration, 15 ms at 45 rad/s², and noise"


def test_reset_brakes_a_swing_and_comes_to_rest(bench: Callable[..., Bench]) -> None:
    b = bench()
    calibration.home(b.plant, b.passport)
    b.rig.push(12.0)
    start = b.clock.now()
    theta, theta_dot = b.plant.reset(None, {})
    assert abs(wrapped(theta - math.pi)) <= math.radians(4)
    assert theta_dot == pytest.approx(0.0, abs=0.05)
    assert b.clock.now() - start <= 15.0
    with pytest.raises(ValueError, match="takes no reset option 'theta'"):
        b.plant.reset(None, {"theta": 0.0})


def test_homing_finds_the_zero_within_a_count(bench: Callable[..., Bench]) -> None:
    for seed in (2, 5):
        b = bench(seed=seed)
        calibration.home(b.plant, b.passport)
        assert b.plant.zero == pytest.approx(b.true_zero, abs=1.0)


def test_stop_from_elsewhere_ends_a_reset(bench: Callable[..., Bench]) -> None:
    b = bench()
    calibration.home(b.plant, b.passport)
    b.plant.arm()
    b.plant.stop()
    assert b.plant.apply(2.0) == 2.0
    assert b.rig._duty == {1: 0.0, -1: 0.0}, "a stopped plant admits and does not drive"


@pytest.mark.parametrize(
    ("fault", "value", "says"),
    [
        ("reversed", True, "swap the motor's two wires"),
        ("stuck", True, r"nothing moved|no encoder edge"),
        ("dead_b", True, r"nothing moved|one side only|no encoder edge|energy"),
    ],
)
def test_the_self_test_names_the_fault(
    bench: Callable[..., Bench], fault: str, value: bool, says: str
) -> None:
    b = bench()
    setattr(b.rig.faults, fault, value)
    with pytest.raises((CalibrationError, PlantError), match=says):
        calibration.self_test(b.plant, b.said.append)


def test_a_healthy_robot_passes_its_self_test(bench: Callable[..., Bench]) -> None:
    b = bench()
    calibration.self_test(b.plant, b.said.append)
    assert len(b.said) == 2


@pytest.mark.parametrize(
    ("fault", "value", "says"),
    [
        ("stuck", True, "no encoder edge"),
        ("reversed", True, "energy that no command explains"),
        ("brown_out", 1.0, "lost its 12 V"),
    ],
)
def test_a_fault_during_a_session_trips_within_seconds(
    bench: Callable[..., Bench], fault: str, value: float, says: str
) -> None:
    b = bench()
    calibration.home(b.plant, b.passport)
    b.plant.reset(None, {})
    setattr(b.rig.faults, fault, value)
    started = b.clock.now()

    def swinging() -> None:
        for _ in range(200):
            b.drive(lambda *_: math.copysign(1.6, math.sin(5.2 * (b.clock.now() - started))), 1)
            b.plant._watch()  # what the supervisor does every 10 ms of real time

    with pytest.raises(PlantError, match=says):
        swinging()
    assert b.rig._duty == {1: 0.0, -1: 0.0}
    with pytest.raises(PlantError):
        b.plant.apply(0.0)
    b.plant.clear()


def test_current_without_command_is_found_at_the_next_reset(bench: Callable[..., Bench]) -> None:
    b = bench()
    calibration.home(b.plant, b.passport)
    b.rig.faults.free_current = 1.0
    b.clock.sleep_until(b.clock.now() + 0.3)
    with pytest.raises(PlantError, match="did not come to rest"):
        b.plant.reset(None, {})


def test_ordinary_driving_trips_nothing(bench: Callable[..., Bench]) -> None:
    """Pumping, spinning, braking and holding, for a minute."""
    b = bench()
    calibration.home(b.plant, b.passport)
    b.plant.reset(None, {})
    b.drive(lambda _, v: math.copysign(2.0, v), 400)
    b.drive(lambda _, v: math.copysign(-2.0, v), 200)
    b.drive(lambda _, __: 2.0, 400)
    b.drive(lambda theta, _: 2.0 * math.sin(7.0 * theta), 200)
    assert b.plant.safety.tripped is None


ROBOTS = [
    (RAW_MOTOR, 1),
    (
        replace(
            RAW_MOTOR, gravity=30.5, torque_gain=6.8, viscous=0.6, coulomb=0.7, breakaway=0.91, delay=0.035
        ),
        2,
    ),
    (
        replace(
            RAW_MOTOR, gravity=26.0, torque_gain=9.2, dead_zone=0.6, coulomb=1.4, breakaway=1.9, delay=0.012
        ),
        3,
    ),
]


def test_a_clock_jump_stops_the_motor_and_is_written_down(bench: Callable[..., Bench]) -> None:
    b = bench()
    calibration.home(b.plant, b.passport)
    b.plant.reset(None, {})
    b.plant.apply(1.0)
    assert b.rig._duty != {1: 0.0, -1: 0.0}
    b.clock.sleep_until(b.clock.now() + 5.0)
    b.plant._watch()
    assert b.rig._duty == {1: 0.0, -1: 0.0}
    assert any("the control loop was silent for 5" in text for text in b.plant.safety.interventions())
    b.plant.apply(0.5)
    assert b.plant.safety.tripped is None, "the session goes on"


@pytest.mark.parametrize(("params", "seed"), ROBOTS)
def test_calibration_recovers_the_robot(
    bench: Callable[..., Bench], params: PendulumParams, seed: int, tmp_path: Path
) -> None:
    b = bench(params, seed=seed, clock=LateClock())
    found, fit = calibration.calibrate(b.plant, "goose", b.passport, b.said.append)
    for name in ("gravity", "torque_gain", "viscous", "coulomb", "no_load_speed", "delay"):
        truth = getattr(params, name)
        assert getattr(found, name).value == pytest.approx(truth, rel=0.05), name
    assert found.dead_zone == pytest.approx(params.dead_zone / 4.0, abs=0.01)
    assert found.zero_counts == pytest.approx(b.true_zero, abs=1.0)
    assert found.held_out_error < 1.0
    assert b.plant.safety.tripped is None
    held = [trace.residuals for trace in fit.traces if trace.held_out]
    assert np.sqrt(np.mean(np.concatenate(held) ** 2)) == pytest.approx(found.held_out_error)
    assert 0.1 < len(held) / len(fit.traces) < 0.3
    if seed == 1:
        _plots_show_it(found, fit, tmp_path)


def _plots_show_it(passport: Passport, fit: Fit, directory: Path) -> None:
    pytest.importorskip("matplotlib")
    save_plots(passport, fit, directory / "p.svg")
    svg = (directory / "p.svg").read_text(encoding="utf-8")
    assert 20_000 < len(svg) < 600_000
    figure = draw_plots(passport, fit)
    swing, errors, _, table = figure.axes
    assert len(swing.lines) == 2
    drawn = np.concatenate([line.get_ydata() for line in errors.lines])
    assert len(drawn) >= sum(len(trace.residuals) for trace in fit.traces)
    texts = " ".join(text.get_text() for text in table.texts)
    assert f"{passport.gravity.value:.3f} ± {passport.gravity.half_width:.3f}" in texts


@pytest.mark.parametrize(
    ("fault", "value", "says"),
    [
        ("lost_edges", 0.003, "impossible encoder transitions"),
        ("slip", 0.005, "on data it had not seen it is"),
    ],
)
def test_a_bad_fit_is_refused(bench: Callable[..., Bench], fault: str, value: float, says: str) -> None:
    b = bench(clock=LateClock())
    setattr(b.rig.faults, fault, value)
    with pytest.raises(CalibrationError, match=says):
        calibration.calibrate(b.plant, "goose", b.passport, b.said.append)
    assert b.plant.params == b.passport.params(DT), "the old passport stays in force"


def test_a_passport_survives_the_disk_and_drives_the_simulation(tmp_path: Path) -> None:
    assert load_passport(tmp_path / "current.json").version == "uncalibrated"
    passport = Passport(version="2026-11-20.1", gravity=Estimate(value=30.0, half_width=0.1))
    save_passport(tmp_path, passport)
    assert load_passport(tmp_path / "current.json") == passport
    assert load_passport(tmp_path / "2026-11-20.1.json") == passport
    assert passport.params(DT).gravity == 30.0
    assert passport.public(DT)["version"] == "2026-11-20.1"


def test_a_passports_file_is_simulated_by_one_call(tmp_path: Path) -> None:
    slow = Passport(version="2026-11-20.1", gravity=Estimate(value=12.0), coulomb=Estimate(value=2.0))
    path = save_passport(tmp_path, slow)
    env = gymnasium.make("RaasPendulum-v1", params=load_passport(path).params())
    assert env.unwrapped.plant.params.gravity == 12.0
    env.reset(seed=1)
    for _ in range(10):
        observation = env.step(np.array([2.0], dtype=np.float32))[0]
    nominal = gymnasium.make("RaasPendulum-v1")
    nominal.reset(seed=1)
    for _ in range(10):
        other = nominal.step(np.array([2.0], dtype=np.float32))[0]
    assert not np.allclose(observation, other, atol=0.1), "it is another pendulum"


def test_a_runs_header_is_enough_to_simulate_its_robot(bench: Callable[..., Bench]) -> None:
    b = bench(passport=Passport(version="2026-11-20.1", coulomb=Estimate(value=1.4)))
    parameters = json.loads(json.dumps(b.plant.passport))["parameters"]
    assert PendulumParams.from_dict(parameters) == b.passport.params(DT) == b.plant.params


def test_the_published_schema_is_the_models(tmp_path: Path) -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == schema(), (
        "run raas-controller passport-schema >hardware/passport.schema.json"
    )
    path = save_passport(tmp_path, Passport(version="2026-11-20.1"))
    good = json.loads(path.read_text(encoding="utf-8"))
    jsonschema.validate(good, schema())
    for name, (_, high) in BOUNDS.items():
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**good, name: {"value": high + 1.0}}, schema())
    for wrong in ({"schema_version": 2}, {"colour": "green"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**good, **wrong}, schema())


def test_the_counts_of_another_motor_are_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAAS_COUNTS_PER_TURN", "445.44")
    assert load_passport(tmp_path / "current.json").counts_per_turn == 445.44
    for wrong in ("many", "3", "nan"):
        monkeypatch.setenv("RAAS_COUNTS_PER_TURN", wrong)
        with pytest.raises(StartupError, match=f"RAAS_COUNTS_PER_TURN={wrong}: use the counts of one turn"):
            load_passport(tmp_path / "current.json")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "calibrate anew or remove it"),
        ('{"schema_version": 2}', "schema_version"),
        ('{"colour": "green"}', "colour"),
        ('{"gravity": {"value": 900}}', r"gravity is 900, outside of 5 to 200"),
        ('{"gravity": {"value": "NaN"}}', "gravity.value"),
        ('{"dead_zone_duty": {"value": 0.9}}', "dead_zone_duty is 0.9"),
        ('{"counts_per_turn": 0}', "counts_per_turn"),
        ("{}", "schema_version is missing; calibrate anew or remove it"),
        ('{"schema_version": 1, "version": "2026-11-20.1"}', "robot is missing"),
    ],
)
def test_an_absurd_passport_is_one_sentence(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "p.json").write_text(text)
    with pytest.raises(StartupError, match=says):
        load_passport(tmp_path / "p.json")
