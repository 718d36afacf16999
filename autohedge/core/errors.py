"""Every error that AutoHedge raises on purpose, in one tree, by what the caller should do.

AutoHedgeError
├── Misconfigured   mend the input (command line, config, tape, strategy) and try again
├── Rejected        a venue or a check said no: do not repeat the request as it is
│   └── Duplicate       the venue has an order under this id already: that it was taken is proven
├── Refused         a safety rule forbids it: nothing was done; change what makes it unsafe
├── Ambiguous       the outcome is unknown: ask the venue before doing anything else
├── Retryable       it may pass: try again later
├── Unavailable     something outside is missing: go on without it, or stop
└── Corrupt         a record or a state is damaged: stop, keep the evidence
    └── IllegalTransition   an order was asked to do what its state table forbids
"""


class AutoHedgeError(Exception):
    """Root of the tree; its text is one line that names cause and cure."""


class Misconfigured(AutoHedgeError):
    """The input is wrong: mend it and try again. The command line exits with 2."""


class Rejected(AutoHedgeError):
    """A venue or a check refused the request; repeating it unchanged will not help."""


class Duplicate(Rejected):
    """The venue has an order under this id already; an earlier request for it arrived."""


class Refused(AutoHedgeError):
    """A safety rule of our own forbids this; nothing was done. The command line exits with 3."""


class Ambiguous(AutoHedgeError):
    """The outcome is not known; only evidence from the venue resolves it."""


class Retryable(AutoHedgeError):
    """A passing fault: nothing was done, and the same request may succeed `after_s` seconds from now."""

    def __init__(self, text: str, after_s: float = 0.0) -> None:
        super().__init__(text)
        self.after_s = after_s


class Unavailable(AutoHedgeError):
    """Something outside this process is missing or does not answer."""


class Corrupt(AutoHedgeError):
    """A record or a state contradicts itself; nothing more may be traded on it."""


class IllegalTransition(Corrupt):
    """The order state table has no such edge."""
