"""Coverage-guided fuzzing of what a hostile program can send to the host: `make fuzz`.

    python -m tests.fuzz.fuzz_link [libFuzzer options, e.g. -max_total_time=60]

Needs atheris (`make fuzz` installs it). The bytes go to every parser of the step contract, and, after a
polite beginning, to a real host over its socket. Anything but an orderly refusal is a finding.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports():
    from raas_gym import PendulumEnv
    from raas_gym.flat import decode_space
    from raas_gym.link import FrameReader, LinkError, Spec, StateCodec, decode_error, decode_json
    from tests.gym_hosting import Hosted

CODEC = StateCodec(1, 3)
PARSERS: list[Any] = [CODEC.decode_action, CODEC.decode_state, decode_json, decode_error, Spec.from_json]
ENDS = ("left", "protocol", "version")


def stream(data: bytes) -> None:
    """A raw stream, cut in the middle."""
    reader, half = FrameReader(), len(data) // 2
    with suppress(LinkError):
        for part in (data[:half], data[half:]):
            reader.feed(part)
            while reader.next() is not None:
                pass


def payloads(data: bytes) -> None:
    """Each parser alone: it answers, or refuses in the one way it may."""
    for parse in PARSERS:
        with suppress(LinkError):
            parse(data)
    with suppress(LinkError, ValueError):
        decode_space(decode_json(data))


def session(data: bytes) -> None:
    """A client that begins well and goes on with the bytes; the session must end, and orderly."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Hosted(PendulumEnv(), Path(folder), realtime=False) as hosted,
    ):
        client = hosted.raw()
        client.begin()
        with suppress(OSError):
            client.say(data)
        client.socket.close()
        outcome = hosted.outcome()
    assert outcome.reason in ENDS, outcome


def one_input(data: bytes) -> None:
    """What atheris calls."""
    {0: stream, 1: payloads, 2: session}[data[0] % 3 if data else 0](data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
