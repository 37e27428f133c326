"""The timer queue: order, cancellation, and the bound on what cancelled timers leave behind."""

from __future__ import annotations

import random

from siocore.timers import Timer, TimerQueue


class Recorder:
    def __init__(self) -> None:
        self.expired: list[tuple[int, float]] = []

    def timer_expired(self, kind: int, now: float) -> None:
        self.expired.append((kind, now))


def test_timers_expire_in_order_of_deadline_then_of_arming() -> None:
    queue, owner = TimerQueue(), Recorder()
    for kind, deadline in enumerate((3.0, 1.0, 2.0, 1.0)):
        queue.arm(deadline, owner, kind)
    assert queue.next_deadline() == 1.0
    queue.expire(2.0)
    assert owner.expired == [(1, 2.0), (3, 2.0), (2, 2.0)]
    assert queue.next_deadline() == 3.0
    assert len(queue) == 1


def test_a_deadline_is_reached_at_its_very_moment_and_not_before() -> None:
    queue, owner = TimerQueue(), Recorder()
    queue.arm(1.0, owner, 0)
    queue.expire(0.999)
    assert owner.expired == []
    queue.expire(1.0)
    assert owner.expired == [(0, 1.0)]
    queue.expire(5.0)
    assert owner.expired == [(0, 1.0)]


def test_cancelled_timers_do_not_expire_and_cancelling_twice_is_harmless() -> None:
    queue, owner = TimerQueue(), Recorder()
    timer = queue.arm(1.0, owner, 0)
    queue.cancel(timer)
    queue.cancel(timer)
    queue.cancel(None)
    queue.expire(2.0)
    assert owner.expired == []
    assert queue.next_deadline() is None
    assert len(queue) == 0


def test_a_timer_armed_while_others_expire_expires_too_if_it_is_due() -> None:
    queue = TimerQueue()
    seen = []

    class Chain:
        def timer_expired(self, kind: int, now: float) -> None:
            seen.append(kind)
            if kind < 3:
                queue.arm(now, self, kind + 1)

    queue.arm(1.0, Chain(), 0)
    queue.expire(1.0)
    assert seen == [0, 1, 2, 3]


def test_an_owner_may_cancel_a_timer_that_is_due_in_the_same_turn() -> None:
    queue = TimerQueue()
    seen = []
    timers: list[Timer] = []

    class Canceller:
        def timer_expired(self, kind: int, now: float) -> None:
            seen.append(kind)
            queue.cancel(timers[1])

    owner = Canceller()
    timers += [queue.arm(1.0, owner, 0), queue.arm(1.0, owner, 1)]
    queue.expire(1.0)
    assert seen == [0]


def test_rearming_for_ever_does_not_grow_the_queue() -> None:
    queue, owner = TimerQueue(), Recorder()
    generator = random.Random(1)
    timers = [queue.arm(generator.random(), owner, 0) for _ in range(100)]
    for _ in range(20_000):
        index = generator.randrange(100)
        queue.cancel(timers[index])
        timers[index] = queue.arm(generator.random(), owner, 0)
    assert len(queue) == 100
    assert len(queue._heap) <= 2 * 100 + 130


def test_a_timer_with_slack_expires_early_but_only_with_another() -> None:
    queue, log = TimerQueue(), Recorder()
    queue.arm(10.0, log, 1)
    queue.arm(10.4, log, 2, 0.5)
    queue.arm(10.5, log, 3, 0.5)
    queue.arm(10.6, log, 4, 0.5)
    queue.expire(9.9)
    assert log.expired == []
    queue.expire(10.0)
    assert [kind for kind, _ in log.expired] == [1, 2, 3]
    # Nothing is due: the slack alone is no reason.
    queue.expire(10.2)
    assert [kind for kind, _ in log.expired] == [1, 2, 3]
    assert queue.next_deadline() == 10.6


def test_a_timer_without_slack_in_between_is_waited_for_and_a_cancelled_one_is_not() -> None:
    queue, log = TimerQueue(), Recorder()
    queue.arm(10.0, log, 1)
    queue.cancel(queue.arm(10.1, log, 2))
    queue.arm(10.2, log, 3, 0.5)
    queue.arm(10.3, log, 4)
    queue.arm(10.4, log, 5, 0.5)
    queue.expire(10.0)
    assert [kind for kind, _ in log.expired] == [1, 3]
    assert len(queue) == 2
