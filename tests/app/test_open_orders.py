"""Orders that are open at the end of a run: which of them are listed, checked, and need attention."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from autohedge import app
from autohedge.app.open_orders import unsettled_text
from autohedge.app.restart import restart
from autohedge.core.errors import Corrupt, Misconfigured, Unavailable
from autohedge.core.money import ZERO
from autohedge.core.orders import BUY, OrderState
from autohedge.core.results import RunReport, WorkingOrder
from autohedge.journal import RunFolder, verify
from autohedge.market import parse_source
from tests.report_factory import run_report
from tests.run_harness import settings

S = 1_000_000_000
START_NS = 1_700_000_000 * S
EAGER = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 0,
    "execution__time_in_force": "gtc",
    "execution__aggression_bps": 0,
    "momentum__max_spread_bps": 1_000,
}


@pytest.fixture
def resting(workplace: Path) -> tuple[RunFolder, RunReport]:
    """A run in virtual time whose entry still rests at the end of its tape."""
    rows = (f"{START_NS + second * S},100,101\n" for second in range(10))
    (workplace / "flat.csv").write_text("ts_ns,bid,ask\n" + "".join(rows))
    wanted = settings(**EAGER)
    results = app.run(wanted, app.tape_for(wanted, [parse_source("X=flat.csv")]))
    return RunFolder.find(results.run), results


def _listed(state: OrderState) -> RunReport:
    return run_report(working_orders=[WorkingOrder("a1", "X", BUY, Decimal(2), ZERO, Decimal(9), state)])


def test_entry_that_rests_at_the_end_of_a_tape_is_listed_and_settled(
    resting: tuple[RunFolder, RunReport],
) -> None:
    folder, results = resting
    (order,) = results.working_orders
    assert (order.symbol, order.side, order.filled, order.state) == ("X", BUY, ZERO, OrderState.OPEN)
    assert order.quantity and order.limit == Decimal("100.5")
    assert unsettled_text(folder, results) == ""
    with pytest.raises(Misconfigured, match="is finished"):
        restart(folder)


def test_finished_run_with_orders_at_a_remote_venue_may_go_on(
    resting: tuple[RunFolder, RunReport],
) -> None:
    folder, _ = resting
    folder.write_launch({"venue_port": 1, "venue_id": "v"})
    with pytest.raises(Unavailable, match="no venue answers"):
        restart(folder)
    assert folder.results.is_file(), "the results stay until the venue is there"


@pytest.mark.parametrize(
    "state",
    [OrderState.UNKNOWN, OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE, OrderState.SUBMITTED],
)
def test_order_in_an_uncertain_state_is_unsettled_anywhere(tmp_path: Path, state: OrderState) -> None:
    text = unsettled_text(RunFolder(tmp_path), _listed(state))
    assert f"a1 (buy 2 X, {state})" in text and "restart" not in text


def test_every_open_order_at_a_remote_venue_is_unsettled(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_launch({"venue_port": 7001})
    text = unsettled_text(folder, _listed(OrderState.OPEN))
    assert "a1 (buy 2 X, open)" in text and f"autohedge restart {folder.argument}" in text
    assert unsettled_text(folder, run_report(working_orders=[])) == ""


@pytest.mark.parametrize("forged", [[], [{"order_id": "another"}]])
def test_forged_list_of_open_orders_is_corrupt(
    resting: tuple[RunFolder, RunReport], forged: list[Any]
) -> None:
    folder, _ = resting
    assert app.replay_engine(folder) == (None, True)
    folder.write_results(json.loads(folder.results.read_bytes()) | {"working_orders": forged})
    with pytest.raises(Corrupt, match="its open orders are not"):
        app.replay_engine(folder)
    if not forged:
        with pytest.raises(Corrupt, match="not as many as in the journal"):
            verify(folder)
