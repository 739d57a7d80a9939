"""The step contract's pure parts: framing, payloads, spaces, and what malformed bytes do."""

from __future__ import annotations

import json
import math
import struct
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from raas_gym.flat import decode_space, decoder, encode_space, flatten, unflatten
from raas_gym.link import (
    MAX_FRAME,
    MAX_JSON,
    FrameReader,
    Kind,
    LinkError,
    Spec,
    StateCodec,
    decode_error,
    decode_json,
    encode_error,
    frame,
)

kinds = st.sampled_from(list(Kind))
finite = st.floats(allow_nan=False, allow_infinity=False)


def messages(reader: FrameReader) -> list[tuple[Kind, bytes]]:
    found = []
    while (message := reader.next()) is not None:
        found.append(message)
    return found


@given(st.lists(st.tuples(kinds, st.binary(max_size=300)), max_size=8), st.lists(st.integers(1, 60)))
def test_messages_come_out_however_the_stream_is_cut(sent: list[tuple[Kind, bytes]], cuts: list[int]) -> None:
    stream = b"".join(frame(kind, payload) for kind, payload in sent)
    reader, got = FrameReader(), []
    for size in cuts:
        reader.feed(stream[:size])
        stream = stream[size:]
        got += messages(reader)
    reader.feed(stream)
    got += messages(reader)
    assert got == sent
    assert not reader.partial


@given(st.binary(max_size=200))
def test_any_bytes_give_messages_or_a_link_error(data: bytes) -> None:
    reader = FrameReader()
    reader.feed(data)
    with suppress(LinkError):
        for _, payload in messages(reader):
            assert len(payload) < MAX_FRAME


@pytest.mark.parametrize("length", [0, MAX_FRAME + 1, 2**32 - 1])
def test_a_bad_length_is_refused_before_anything_is_collected(length: int) -> None:
    reader = FrameReader()
    reader.feed(struct.pack("<I", length))
    with pytest.raises(LinkError, match="outside"):
        reader.next()


def test_an_unknown_kind_is_refused() -> None:
    reader = FrameReader()
    reader.feed(struct.pack("<IB", 1, 77))
    with pytest.raises(LinkError, match="kind 77"):
        reader.next()


def test_a_frame_has_a_largest_size() -> None:
    assert len(frame(Kind.STATE, bytes(MAX_FRAME - 1))) == MAX_FRAME + 4
    with pytest.raises(ValueError, match="limit"):
        frame(Kind.STATE, bytes(MAX_FRAME))


@given(st.binary(max_size=100))
def test_any_payload_is_a_json_object_or_a_link_error(payload: bytes) -> None:
    with suppress(LinkError):
        assert isinstance(decode_json(payload), dict)


@pytest.mark.parametrize("payload", [b"[" * 60_000, b"{" + b" " * MAX_JSON + b"}", b'"x"', b"\xff", b""])
def test_json_that_is_no_small_object(payload: bytes) -> None:
    with pytest.raises(LinkError):
        decode_json(payload)


@given(
    st.integers(1, 5).flatmap(lambda n: st.lists(finite, min_size=n, max_size=n)),
    st.lists(finite, min_size=1, max_size=9),
    finite,
    st.integers(0, 2**40),
    st.booleans(),
)
def test_states_and_actions_survive(
    action: list[float], observation: list[float], reward: float, missed: int, flag: bool
) -> None:
    codec, reader = StateCodec(len(action), len(observation)), FrameReader()
    state = (
        1.5,
        reward,
        float(missed),
        float(missed > 0),
        float(not flag),
        float(flag),
        *action,
        *observation,
    )
    reader.feed(codec.state_frame(*state) + codec.step_frame(action))
    kind, payload = reader.next() or (None, b"")
    assert (kind, codec.decode_state(payload)) == (Kind.STATE, state)
    assert state[codec.applied] == tuple(action)
    assert state[codec.observation] == tuple(observation)
    whole = codec.state_frame(*state)
    assert codec.decode_state_frame(whole) == state
    assert codec.decode_state_frame(whole[:-1]) is codec.decode_state_frame(whole + b"x") is None
    kind, payload = reader.next() or (None, b"")
    assert (kind, codec.decode_action(payload)) == (Kind.STEP, tuple(action))


@given(st.binary(max_size=40))
def test_an_action_of_any_bytes_is_finite_or_refused(payload: bytes) -> None:
    with suppress(LinkError):
        action = StateCodec(2, 3).decode_action(payload)
        assert len(action) == 2
        assert all(map(math.isfinite, action))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_action_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(LinkError, match="finite"):
        StateCodec(1, 1).decode_action(struct.pack("<d", value))


SPACES = [
    spaces.Box(-2, 2, (1,), np.float32),
    spaces.Box(-np.inf, np.inf, (4,), np.float32),
    spaces.Box(np.array([-1.5, -np.inf]), np.array([0.1, 7.0]), dtype=np.float64),
    spaces.Box(0, 255, (3, 2), np.uint8),
    spaces.Box(-3, 3, (), np.float64),
    spaces.Discrete(5),
    spaces.Discrete(3, start=-1),
]


@pytest.mark.parametrize("space", SPACES, ids=repr)
def test_spaces_survive_json(space: spaces.Space[Any]) -> None:
    again = decode_space(json.loads(json.dumps(encode_space(space))))
    assert again == space
    space.seed(0)
    for _ in range(5):
        element = space.sample()
        for back in (unflatten(again, flatten(element)), decoder(again)(flatten(element))):
            assert np.array_equal(back, element)
            assert again.contains(back)


@given(hnp.arrays(np.float32, (2, 3), elements=st.floats(width=32, allow_nan=False)))
def test_float32_observations_survive_exactly(value: np.ndarray) -> None:
    assert np.array_equal(unflatten(spaces.Box(-np.inf, np.inf, (2, 3), np.float32), flatten(value)), value)


@pytest.mark.parametrize(
    "space", [spaces.MultiBinary(3), spaces.Dict(a=spaces.Discrete(2)), spaces.Text(4)], ids=repr
)
def test_other_spaces_are_refused_with_a_remedy(space: spaces.Space[Any]) -> None:
    with pytest.raises(ValueError, match="wrapper"):
        encode_space(space)


def test_a_giant_space_is_refused() -> None:
    with pytest.raises(ValueError, match="too large"):
        encode_space(spaces.Box(0, 1, (300, 300), np.float32))


DAMAGED: list[dict[str, Any]] = [{}, {"type": "box"}, {"type": "box", "shape": [2], "dtype": "float32"}]
DAMAGED += [{"type": "discrete", "n": n, "start": 0} for n in ("x", 0, None)]
DAMAGED += [{"type": "box", "shape": [2], "dtype": "float32", "low": [0, 0, 0], "high": [1]}]


@pytest.mark.parametrize("value", DAMAGED)
def test_a_damaged_space_is_refused(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no Box or Discrete"):
        decode_space(value)


def test_the_spec_survives_and_ignores_what_it_does_not_know() -> None:
    spec = Spec("X-v0", "goose", 0.05, 400, {"n": 2}, {"n": 3}, ("a", "b"), ("action",), passport={"k": 1})
    values = {**json.loads(spec.to_json()), "new_in_1_1": True}
    assert Spec.from_json(json.dumps(values).encode()) == spec
    for change in ({"dt": 0}, {"dt": "fast"}, {"columns": 3}, {"action_space": {}}, {"protocol": None}):
        with pytest.raises(LinkError, match="incomplete"):
            Spec.from_json(json.dumps({**values, **change}).encode())
    with pytest.raises(LinkError, match="incomplete"):
        Spec.from_json(b'{"env_id": "X-v0"}')


def test_an_error_travels() -> None:
    reader = FrameReader()
    reader.feed(encode_error("busy", "another client"))
    kind, payload = reader.next() or (None, b"")
    assert kind is Kind.ERROR
    error = decode_error(payload)
    assert (error.code, str(error)) == ("busy", "another client")
