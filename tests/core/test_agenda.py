"""What is due when, against a model that keeps a list."""

from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.agenda import Agenda
from autohedge.core.clock import NEVER

ACTS = st.lists(
    st.tuples(st.sampled_from(["put", "drop", "due"]), st.integers(0, 5), st.integers(0, 30)), max_size=60
)


@budget(max_examples=200, deadline=None)
@given(ACTS)
def test_it_gives_what_is_due_in_order_and_forgets_what_was_moved_or_dropped(
    acts: list[tuple[str, int, int]],
) -> None:
    agenda: Agenda[int] = Agenda()
    model: dict[int, tuple[int, int]] = {}
    for number, (act, matter, when) in enumerate(acts):
        if act == "put":
            agenda.put(matter, when)
            model[matter] = (when, number)
        elif act == "drop":
            agenda.drop(matter)
            model.pop(matter, None)
        else:
            due = sorted((at, put, each) for each, (at, put) in model.items() if at <= when)
            assert list(agenda.due(when)) == [each for _, _, each in due]
            for _, _, each in due:
                del model[each]
        assert agenda.next_ns == min((at for at, _ in model.values()), default=NEVER)
        assert all((each in agenda) is (each in model) for each in range(6))
        assert all(agenda.due_ns(each) == model[each][0] for each in model)


def test_a_matter_that_is_moved_often_leaves_nothing_behind() -> None:
    agenda: Agenda[str] = Agenda()
    for when in range(10_000, 0, -1):
        agenda.put("a", when)
    assert len(agenda._heap) < 100
