"""What a checker raises."""


class Violated(Exception):
    """An invariant does not hold; the text names it and what was seen."""
