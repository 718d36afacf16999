"""The table of quotes in prompts; transcripts are read with it, so its form must not change."""

from hypothesis import given

from autohedge.core.quote_table import HEADER, quote_table
from autohedge.core.snapshots import QuoteRow
from tests.snapshot_factory import AT_NS, VALID_QUOTES


def test_the_table_shows_the_quotes_with_eight_decimals() -> None:
    quotes = (
        QuoteRow(AT_NS, 61800.1, 0.5, 61800.25, 0.0),
        QuoteRow(AT_NS + 5_911_912_999_999, 61800.0, 12.0, 61800.2, 1e-8),
    )
    assert quote_table(quotes).split("\n") == [
        "Time | Bid | BidSz | Ask | AskSz",
        "23:54:15.088 | 61800.10000000 | 0.50000000 | 61800.25000000 | n/a",
        "01:32:47.000 | 61800.00000000 | 12.00000000 | 61800.20000000 | 0.00000001",
    ]


@given(VALID_QUOTES)
def test_the_table_has_a_line_per_row_and_five_columns(quotes: tuple[QuoteRow, ...]) -> None:
    header, *lines = quote_table(quotes).split("\n")
    assert header == HEADER and len(lines) == len(quotes)
    assert all(line.count(" | ") == 4 for line in lines)
