"""The rings of recent quotes against plain lists, for any batches."""

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.snapshots import QuoteRow
from autohedge.market import Rows
from autohedge.market.recent_quotes import RecentQuotes
from tests.kernels.quote_factory import Quote, columns, quotes

LANES, DEPTH = 2, 3


def _rows(given_quotes: list[Quote]) -> Rows:
    lane, ts, bid, ask, *sizes = columns(given_quotes)
    return Rows(ts, lane, bid, ask, sizes[0], sizes[1])


def _valid(rows: list[Quote], lane: int) -> list[QuoteRow]:
    return [
        QuoteRow(row.ts, row.bid, row.bid_size, row.ask, row.ask_size)
        for row in rows
        if row.lane == lane and 0 < row.bid <= row.ask < float("inf")
    ]


def _latest(seen: RecentQuotes, lane: int) -> QuoteRow | None:
    found = seen.latest(lane)
    return found[0].quote(found[1]) if found else None


def _batch(rows: Rows, start: int, end: int) -> Rows:
    names = ("ts", "lane", "bid", "ask", "bid_size", "ask_size")
    parts: dict[str, Any] = {name: getattr(rows, name)[start:end] for name in names}
    return replace(rows, **parts)


@budget(max_examples=100, deadline=None)
@given(
    quotes(lanes=LANES, most=40),
    st.lists(st.tuples(st.integers(1, 12), st.booleans(), st.sampled_from(["", "latest", "recent"]))),
)
def test_any_batches_leave_the_last_valid_quotes_of_each_lane(
    all_quotes: list[Quote], steps: list[tuple[int, bool, str]]
) -> None:
    rows, seen = _rows(all_quotes), RecentQuotes(LANES, DEPTH)
    pos = 0
    for count, own_batch, asked in [*steps, (len(rows), False, "latest"), (1, False, "recent")]:
        end = min(pos + count, len(rows))
        if own_batch:
            seen.extend(_batch(rows, pos, end), 0, end - pos)
        else:
            seen.extend(rows, pos, end)
        pos = end
        for lane in range(LANES):
            valid = _valid(all_quotes[:pos], lane)
            if asked == "latest":
                assert _latest(seen, lane) == (valid[-1] if valid else None)
            elif asked == "recent":
                assert list(seen.recent(lane)) == valid[-DEPTH:]


def test_quote_far_behind_the_last_rows_is_found() -> None:
    busy = [Quote(0, ts, 10.0, 10.5, 0.0, 0.0) for ts in range(500)]
    rows, seen = _rows([Quote(1, 0, 7.0, 7.5, 1.0, 2.0), *busy]), RecentQuotes(LANES, DEPTH)
    seen.extend(rows, 0, 400)
    assert _latest(seen, 1) == QuoteRow(0, 7.0, 1.0, 7.5, 2.0)
    seen.extend(rows, 400, len(rows))
    assert _latest(seen, 1) == QuoteRow(0, 7.0, 1.0, 7.5, 2.0)
    assert [quote.ts_ns for quote in seen.recent(0)] == [497, 498, 499]


def test_rows_that_were_skipped_are_not_seen() -> None:
    rows, seen = _rows([Quote(0, ts, 10.0, 10.5, 0.0, 0.0) for ts in range(9)]), RecentQuotes(LANES, DEPTH)
    seen.extend(rows, 0, 2)
    seen.extend(rows, 8, 9)
    assert [quote.ts_ns for quote in seen.recent(0)] == [0, 1, 8]
