"""Every field that a template may name: its content, and whether its text is untrusted.

`autohedge.tools.fields_for` fills exactly these.
"""

from typing import NamedTuple


class Field(NamedTuple):
    """One field; `untrusted` text came from outside or from a model and is not allowed in the system part."""

    says: str
    untrusted: bool = False


FIELDS = {
    "symbol": Field("the symbol of the request"),
    "at": Field("the decision clock, UTC; no data is later"),
    "rows": Field("how many quotes the table has"),
    "table": Field("the last quotes, oldest first: Time | Bid | BidSz | Ask | AskSz"),
    "indicators": Field(
        "return, volatility, spread, slope, RSI and imbalance over the last quotes, not bars"
    ),
    "market": Field(
        "the move that pays fees and spread; with `tools.bars` what the last bars did, and how far they reach back"
    ),
    "account": Field("position, cash, equity, exposure against its bounds, exits and costs, state and gate"),
    "bounds": Field(
        "what the Risk and Execution agents may ask for: exits, reward to risk, offset of a limit"
    ),
    "finding": Field("the Quant's answer as labels and numbers; n/a before it"),
    "assessment": Field("size and exits as approved by the Risk agent; n/a before it"),
    "thesis": Field("the Director's thesis, with direction and confidence, fenced", untrusted=True),
    "trades": Field("the closed trades of a learning request, newest last"),
    "headlines": Field("the newest headlines that were known by then, fenced", untrusted=True),
    "lessons": Field(
        "lessons of the learning agent that have not expired, newest first, fenced", untrusted=True
    ),
}
