"""Every field that a template may name: what it says, and whether strangers may have written it.

`autohedge.tools.fields_for` fills exactly these.
"""

from typing import NamedTuple


class Field(NamedTuple):
    """One field; `untrusted` text came from outside or from a model and stays out of the system part."""

    says: str
    untrusted: bool = False


FIELDS = {
    "symbol": Field("the symbol that the question is about"),
    "at": Field("the decision clock, UTC; nothing shown is later"),
    "rows": Field("how many quotes the table has"),
    "table": Field("the last quotes, oldest first: Time | Bid | BidSz | Ask | AskSz"),
    "indicators": Field("return, volatility, spread, slope, RSI and imbalance over the table"),
    "account": Field("position, cash, equity, exposure against its bounds, exits and costs, state and gate"),
    "bounds": Field(
        "what the Risk and Execution agents may ask for: exits, reward to risk, offset of a limit"
    ),
    "finding": Field("the Quant's answer, in words and numbers of a list; n/a before it"),
    "assessment": Field("size and exits as approved by the Risk agent; n/a before it"),
    "thesis": Field("the Director's thesis, with direction and confidence, fenced", untrusted=True),
    "trades": Field("the closed trades that a learning question is about, newest last"),
    "headlines": Field("the newest headlines that were known by then, fenced", untrusted=True),
    "lessons": Field(
        "what the learning agent kept and has not expired, newest first, fenced", untrusted=True
    ),
}
