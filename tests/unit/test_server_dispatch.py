"""Wake-ups and the waiting room."""

from __future__ import annotations

import threading

from github_app.dispatch import Dispatcher
from github_app.wakeups import Wakeups

ANY = frozenset({"pendulum", "goose"})


def test_a_wake_up_between_looking_and_waiting_is_not_missed() -> None:
    wakeups = Wakeups()
    with wakeups.listen("queue") as ear:
        wakeups.notify("queue")
        assert ear.wait(0)
        assert not ear.wait(0)


def test_only_the_topic_wakes() -> None:
    wakeups = Wakeups()
    with wakeups.listen("queue", "checks") as ear:
        wakeups.notify("deliveries")
        assert not ear.wait(0)
        wakeups.notify("checks")
        assert ear.wait(0)
    assert not wakeups._ears  # nobody is left behind


def test_waiting_ends_when_somebody_notifies() -> None:
    wakeups = Wakeups()
    heard: list[bool] = []
    listening = threading.Event()

    def wait() -> None:
        with wakeups.listen("job:1") as ear:
            listening.set()
            heard.append(ear.wait(30))

    thread = threading.Thread(target=wait)
    thread.start()
    listening.wait(10)
    wakeups.notify("job:1")
    thread.join(10)
    assert heard == [True]


def test_topics_are_relayed_to_other_processes_but_theirs_are_not_sent_back() -> None:
    wakeups = Wakeups()
    sent: list[str] = []
    wakeups.relay(sent.append)
    wakeups.notify("queue")
    wakeups.notify_here("queue")
    assert sent == ["queue"]


def test_a_lane_calls_the_longest_waiting_that_serves_it() -> None:
    room = Dispatcher()
    with (
        room.waiting(1, frozenset({"cartpole"})) as other,
        room.waiting(2, ANY) as first,
        room.waiting(3, ANY) as second,
    ):
        room.offer({"pendulum": 1})
        assert (other.called, first.called, second.called) == (False, True, False)
        room.offer({"goose,pendulum": 1})
        assert second.called
        assert first.wait(0)
        assert not first.wait(0)
    assert len(room) == 0


def test_a_lane_that_refuses_somebody_calls_the_next() -> None:
    room = Dispatcher()
    with room.waiting(1, ANY) as goose, room.waiting(2, frozenset({"pendulum", "duck"})) as duck:
        room.offer({"!goose,pendulum": 5, "swan": 5})
        assert (goose.called, duck.called) == (False, True)
        room.offer({"": 1})
        assert goose.called


def test_whoever_was_drained_while_waiting_is_not_called() -> None:
    room = Dispatcher()
    with room.waiting(1, ANY) as waiter:
        waiter.labels = None
        room.offer({"pendulum": 1})
        assert not waiter.called
    assert not room._by_label


def test_without_labels_nobody_is_called() -> None:
    room = Dispatcher()
    with room.waiting(1, None) as waiter:
        room.offer({"": 1})
        assert not waiter.wait(0)


def test_asking_again_dismisses_the_older_wait() -> None:
    room = Dispatcher()
    with room.waiting(1, ANY) as older:
        with room.waiting(1, ANY) as newer:
            room.offer({"pendulum": 1})
            assert not older.wait(30)
            assert older.dismissed
            assert newer.wait(0)
        assert len(room) == 0


def test_closing_sends_everybody_away() -> None:
    room = Dispatcher()
    with room.waiting(1, ANY) as waiter:
        room.close()
        assert not waiter.wait(30)
        with room.waiting(2, ANY) as late:
            assert not late.wait(30)
