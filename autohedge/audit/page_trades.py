"""The part of the page about trades: prices with entries and exits, results by verdict, all round trips."""

from collections.abc import Iterable, Iterator, Mapping
from math import floor, log10
from typing import NamedTuple

from autohedge.audit.audit import Audit
from autohedge.audit.chart import Axes, Marker, price_chart, strip
from autohedge.audit.conversations import Conversation
from autohedge.audit.figures import clock_text, count, money, percent, price, price_places, quantity
from autohedge.audit.html import escaped, figure, folded, table, true_minus
from autohedge.audit.prices import PriceLine, price_lines
from autohedge.audit.timeline import IDLE, Timeline, shares
from autohedge.core.money import ZERO
from autohedge.core.orders import ACTIONS, BUY, ENTER, LEAVE
from autohedge.core.units import NS_PER_DAY
from autohedge.records.round_trips import RoundTrip, TrackedOrder, TripFill

CHARTS_SHOWN = 6  # further charts are folded, so that the decisions stay within reach
SIGNIFICANT_DIGITS = 6
_LEGEND = (
    '<p class="dim legend"><svg class="key"><path class="entry" d="M6 1l5 9h-10z"/></svg>entry '
    '<svg class="key"><path class="exit gain" d="M6 10l5-9h-10z"/></svg>exit with a profit '
    '<svg class="key"><path class="exit loss" d="M6 10l5-9h-10z"/></svg>exit with a loss</p>'
)


class SymbolChart(NamedTuple):
    """What the chart of one symbol shows."""

    name: str
    symbol: str
    line: PriceLine
    markers: list[Marker]
    places: int
    timeline: Iterable[tuple[int, str]]
    first_state: str


def chart_section(audit: Audit) -> Iterator[str]:
    """Yields a chart per symbol: the price, entries and exits, and the gate or the activity below it."""
    charts = list(_charts(audit))
    if not charts:
        return
    yield f"<h2>Price, entries and exits</h2>{_LEGEND if any(each.markers for each in charts) else ''}"
    for each in charts[:CHARTS_SHOWN]:
        yield _chart(audit, each)
    if rest := charts[CHARTS_SHOWN:]:
        yield folded(f"{len(rest)} more symbols", "".join(_chart(audit, each) for each in rest))


def _charts(audit: Audit) -> Iterator[SymbolChart]:
    trips = _trips_by_symbol(audit)
    lines = audit.activity if audit.mode == "llm" else audit.gates
    first_state = IDLE if audit.mode == "llm" else "open" if audit.starts_open else "closed"
    symbols = sorted(lines.keys() | trips.keys())
    prices = price_lines(audit, symbols)
    for number, symbol in enumerate(symbols):
        own = trips.get(symbol, [])
        places = _places(own, prices[symbol])
        markers = [marker for found in own for marker in _markers(*found, places)]
        timeline = lines.get(symbol, Timeline())
        yield SymbolChart(f"chart-{number}", symbol, prices[symbol], markers, places, timeline, first_state)


def _trips_by_symbol(audit: Audit) -> dict[str, list[tuple[int, RoundTrip]]]:
    trips: dict[str, list[tuple[int, RoundTrip]]] = {}
    for conversation in audit.conversations:
        for trip in conversation.trips:
            trips.setdefault(trip.symbol, []).append((conversation.number, trip))
    return trips


def _places(trips: Iterable[tuple[int, RoundTrip]], line: PriceLine) -> int:
    """Returns the decimals of a symbol's prices: those of its orders, else enough for six digits."""
    known = price_places(order for _, trip in trips for order in trip.orders)
    if known is not None or not line.points:
        return known or 0
    return max(SIGNIFICANT_DIGITS - 1 - floor(log10(line.points[0][1])), 0)


def _markers(number: int, trip: RoundTrip, places: int) -> Iterator[Marker]:
    result = (" gain" if trip.totals.net > ZERO else " loss") if trip.closed_ns else ""
    for order in trip.orders:
        for fill in order.fills:
            kind = "entry" if order.purpose is ENTER else f"exit{result}"
            yield Marker(fill.ts_ns, float(fill.price), kind, _marker_label(number, order, fill, places))


def _marker_label(number: int, order: TrackedOrder, fill: TripFill, places: int) -> str:
    traded = f"{ACTIONS[order.side, order.purpose]} {quantity(fill.quantity)} at {price(fill.price, places)}"
    return f"{clock_text(fill.ts_ns)} UTC: {traded}, {order.reason}, question {number}"


def _chart(audit: Audit, chart: SymbolChart) -> str:
    points = chart.line.points
    known = [value for _, value in points] + [marker.price for marker in chart.markers]
    # The line alone does not bound the prices: a fill can lie beyond the mid prices that were sampled.
    axes = Axes.around(known, audit.first_ns, audit.last_ns)
    entries = sum(marker.kind == "entry" for marker in chart.markers)
    title = (
        f"{chart.symbol}: {count(entries, 'entry fill')}, {count(len(chart.markers) - entries, 'exit fill')}"
    )
    described = _described(chart)
    picture = price_chart(chart.name, axes, points, chart.markers, title, described) if known else ""
    labels = (price(value, chart.places) for value in (axes.high, (axes.high + axes.low) / 2, axes.low))
    scale = "".join(f"<span>{label}</span>" for label in labels) if known else ""
    states = shares(chart.timeline, chart.first_state, audit.first_ns, audit.last_ns)
    spent = ", ".join(f"{state} {percent(share)}" for state, share in states.items())
    below = strip(chart.timeline, chart.first_state, audit.first_ns, audit.last_ns, spent)
    return (
        f"<figure><figcaption><b>{escaped(chart.symbol)}</b> "
        f"<span class='dim'>{escaped(described)}</span></figcaption>"
        f"<div class='plot'>{picture}<div class='scale'>{scale}</div>{below}"
        f"<div class='times'>{_times(audit)}</div></div>{_states(states)}</figure>"
    )


def _described(chart: SymbolChart) -> str:
    """Returns the course of the price in short, and where it is from if that is not the tape."""
    points = chart.line.points
    if not points:
        return "no price in the record"
    first, last = points[0][1], points[-1][1]
    change = true_minus(percent(last / first - 1, 2, signed=True))
    course = f"{price(first, chart.places)} to {price(last, chart.places)} ({change})"
    return (
        course if chart.line.from_tape else f"{course}, from snapshots and fills: the tape is not available"
    )


def _times(audit: Audit) -> str:
    middle_ns = (audit.first_ns + audit.last_ns) // 2
    texts = [clock(audit, each) for each in (audit.first_ns, middle_ns, audit.last_ns)]
    return f"<span>{texts[0]}</span><span>{texts[1]}</span><span>{texts[2]} UTC</span>"


def clock(audit: Audit, ts_ns: int) -> str:
    """Returns a time of the run, with its day if the run has several."""
    return clock_text(ts_ns, with_day=audit.first_ns // NS_PER_DAY != audit.last_ns // NS_PER_DAY)


def _states(states: Mapping[str, float]) -> str:
    """Returns the key of the strip: each state with its share of the time."""
    keys = (
        f"<span><i class='{state}'></i>{state} {percent(share)}</span>" for state, share in states.items()
    )
    return f"<p class='dim legend'>{''.join(keys)}</p>"


def results_section(audit: Audit) -> Iterator[str]:
    """Yields the results by verdict, and the round trips of the decisions shown."""
    if not audit.groups:
        return
    yield "<h2>Results</h2>"
    headings = ("Verdict", "Net P&L", "Gross P&L", "Fees", "Closed", "Profitable", "Open", "Unfilled")
    yield table(headings, _groups(audit), numeric=frozenset(range(1, 8)), label="Results by verdict")
    yield "<p class='dim'>A few round trips say little about the quality of the verdicts.</p>"
    rows = list(_trip_rows(audit))
    if rows:
        yield folded(f"Table of {count(len(rows), 'round trip')}", _trip_table(rows))


def _groups(audit: Audit) -> Iterator[tuple[str, ...]]:
    for name, group in sorted(audit.groups.items()):
        amounts = (figure(money(group.net)), figure(money(group.realized)), money(group.fees, signed=False))
        numbers = (group.closed, group.gained, group.still_open, group.unfilled)
        yield (escaped(name.removesuffix(" sure")), *amounts, *(f"{number:,}" for number in numbers))


def _trip_table(rows: Iterable[tuple[str, ...]]) -> str:
    entry, end = ("Entry, UTC", "Price"), ("Exit, UTC", "Price", "Exit by")
    headings = ("No.", "Symbol", "Net P&L", *entry, *end, "Quantity", "Fees")
    return table(headings, rows, numeric=frozenset({0, 2, 4, 6, 8, 9}), label="Round trips")


def _trip_rows(audit: Audit) -> Iterator[tuple[str, ...]]:
    unlinked = len(audit.conversations) - audit.whole
    for index, conversation in enumerate(audit.conversations):
        for trip in conversation.trips:
            if trip.totals.entered:
                yield _trip_row(audit, conversation, trip, linked=index >= unlinked)


def _trip_row(audit: Audit, conversation: Conversation, trip: RoundTrip, *, linked: bool) -> tuple[str, ...]:
    number, totals, places = conversation.number, trip.totals, price_places(trip.orders)
    exit_price = price(totals.exit_price, places) if totals.left else ""
    exit_reasons = [order.reason for order in trip.orders if order.purpose is LEAVE and order.fills]
    return (
        f'<a href="#q{number}">{number}</a>' if linked else str(number),
        escaped(trip.symbol),
        figure(money(totals.net)) if trip.closed_ns else "",
        clock(audit, totals.opened_ns),
        price(totals.entry_price, places),
        clock(audit, trip.closed_ns) if trip.closed_ns else "open",
        exit_price,
        escaped(exit_reasons[-1]) if exit_reasons else "",
        f"{'' if totals.side is BUY else 'short '}{quantity(totals.entered)}",
        money(totals.fees, signed=False),
    )
