"""The timer queue against a model that keeps a list."""

from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.clock import NEVER
from autohedge.core.timers import TimerQueue

ACTS = st.lists(
    st.tuples(st.sampled_from(["put", "drop", "due"]), st.integers(0, 5), st.integers(0, 30)), max_size=60
)


@budget(max_examples=200, deadline=None)
@given(ACTS)
def test_timer_queue_random_operations_match_list_model(
    acts: list[tuple[str, int, int]],
) -> None:
    timers: TimerQueue[int] = TimerQueue()
    model: dict[int, tuple[int, int]] = {}
    for number, (act, key, when) in enumerate(acts):
        if act == "put":
            timers.schedule(key, when)
            model[key] = (when, number)
        elif act == "drop":
            timers.cancel(key)
            model.pop(key, None)
        else:
            due = sorted((at, put, each) for each, (at, put) in model.items() if at <= when)
            assert list(timers.pop_due(when)) == [each for _, _, each in due]
            for _, _, each in due:
                del model[each]
        assert timers.next_ns == min((at for at, _ in model.values()), default=NEVER)
        assert all((each in timers) is (each in model) for each in range(6))
        assert all(timers.deadline_ns(each) == model[each][0] for each in model)


def test_timer_queue_key_rescheduled_often_keeps_heap_small() -> None:
    timers: TimerQueue[str] = TimerQueue()
    for when in range(10_000, 0, -1):
        timers.schedule("a", when)
    assert len(timers._heap) < 100
