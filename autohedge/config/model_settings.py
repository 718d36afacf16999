"""The section of one model: what it costs, and what it may know."""

from datetime import date
from decimal import Decimal
from typing import Annotated, ClassVar

from pydantic import BeforeValidator, Field

from autohedge.config.sections import Applies, Section


def _day(given: object) -> object:
    """A day as text, YYYY-MM-DD or empty; TOML has a type for days."""
    text = given.isoformat() if isinstance(given, date) else given
    try:
        if text == "" or date.fromisoformat(str(text)).isoformat() == text:
            return text
    except ValueError:
        pass
    raise ValueError("write a day as 2025-01-31, or nothing")


Day = Annotated[str, BeforeValidator(_day)]
Price = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=20)]


class ModelSettings(Section):
    """What a model costs, in USD per million tokens, and the day up to which it knows the world.

    A price that is unset is unknown; `price_cached` is then `price_in`.
    """

    applies: ClassVar = Applies.RESTART
    price_in: Price | None = None
    price_cached: Price | None = None
    price_out: Price | None = None
    knowledge_cutoff: Day = ""

    @property
    def has_prices(self) -> bool:
        """Whether the cost of every call is known."""
        return self.price_in is not None and self.price_out is not None
