"""What the guardian decides, beat by beat."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hardware.guardian import Watch
from hardware.heartbeat import ARMED, DISARMED, SILENCE_S, TRIPPED, Beat


def beaten(watch: Watch, start: float, beats: int, arm: bool = True, first: int = 1) -> float:
    for k in range(beats):
        start += 0.01
        watch.hear(Beat(first + k, start, arm), start)
    return start


def test_it_arms_on_a_beat_and_trips_on_silence() -> None:
    watch = Watch()
    assert not watch.enable
    now = beaten(watch, 0.0, 3)
    assert (watch.state, watch.enable) == (ARMED, True)
    watch.tick(now + 0.9 * SILENCE_S)
    assert watch.enable
    watch.tick(now + 1.1 * SILENCE_S)
    assert (watch.state, watch.enable) == (TRIPPED, False)
    assert "no beat" in watch.why


def test_after_a_trip_only_disarming_leads_back() -> None:
    watch = Watch()
    now = beaten(watch, 0.0, 3)
    watch.tick(now + 1.0)
    now = beaten(watch, now + 1.0, 5, first=10)
    assert watch.state == TRIPPED, "a process that was stopped and goes on does not get its current back"
    now = beaten(watch, now, 1, arm=False, first=20)
    assert watch.state == DISARMED
    beaten(watch, now, 1, first=30)
    assert watch.state == ARMED


def test_stale_and_backward_beats_trip() -> None:
    for beat in (Beat(9, 0.0, True), Beat(1, 0.031, True), Beat(9, 0.5, True), Beat(9, float("nan"), True)):
        watch = Watch()
        now = beaten(watch, 0.0, 3)
        watch.hear(beat, now + 0.001 + (0.06 if beat.t == 0.0 else 0.0))
        assert not watch.enable, beat


def test_a_lost_controller_drops_the_line_and_the_next_begins_disarmed() -> None:
    watch = Watch()
    beaten(watch, 0.0, 2)
    watch.lose("gone")
    assert (watch.state, watch.enable) == (DISARMED, False)
    watch.hear(Beat(1, 5.0, False), 5.0)
    assert not watch.enable


@given(
    st.lists(
        st.tuples(
            st.floats(0.0, 0.2),
            st.one_of(st.none(), st.tuples(st.integers(0, 50), st.floats(-1.0, 1.0), st.booleans())),
        ),
        max_size=60,
    )
)
def test_the_line_is_never_up_without_a_fresh_armed_beat(
    events: list[tuple[float, tuple[int, float, bool] | None]],
) -> None:
    watch, now, last_good = Watch(), 10.0, -1.0
    for wait, beat in events:
        now += wait
        watch.tick(now)
        if beat is not None:
            number, lag, arm = beat
            watch.hear(Beat(number, now + lag, arm), now)
            if arm and abs(lag) <= SILENCE_S:
                last_good = now
        assert not watch.enable or now - last_good <= SILENCE_S
