"""The outbox: one sequence for rows, inputs and outputs, and questions that wait for the runtime."""

from autohedge.core.events import DeliberationRequested, Timer, TradingStateChanged
from autohedge.core.ids import client_order_id
from autohedge.engine.outbox import Outbox
from tests.snapshot_factory import snapshot


def test_rows_inputs_and_outputs_share_one_sequence() -> None:
    outbox = Outbox()
    outbox.count_rows(3)
    outbox.record(Timer(1))
    outbox.emit(TradingStateChanged("active"))
    assert [(entry.seq, entry.pos) for entry in outbox.log] == [(4, 3), (5, 3)]
    assert (outbox.seq, outbox.pos, outbox.new_halt_id()) == (6, 3, "halt-4")


def test_order_ids_derive_from_nonce_and_sequence() -> None:
    outbox = Outbox()
    outbox.nonce = "n"
    assert outbox.new_order_id() == client_order_id("n", 1)
    outbox.emit(TradingStateChanged("active"))
    assert outbox.new_order_id() == client_order_id("n", 2)


def test_question_carries_its_snapshot_until_it_is_taken() -> None:
    outbox, shown = Outbox(), snapshot()
    request = DeliberationRequested(1, 1, "gate", "X", shown.hash)
    outbox.ask(request, shown)
    assert [(each.request, each.snapshot) for each in outbox.questions] == [(request, shown)]
    outbox.record(Timer(1))
    assert len(outbox.questions) == 1 and [entry.event for entry in outbox.log] == [request, Timer(1)]
