"""Every error that AutoHedge raises on purpose, in one tree, by what the caller should do.

AutoHedgeError
├── Misconfigured   fix the input (command line, config, tape, strategy) and try again
│   └── StrategyFailed  the user's strategy raised an error or called sys.exit: fix it
├── Rejected        a venue or a check refused: do not repeat the request unchanged
│   └── Duplicate       the venue already has an order with this id, so an earlier request arrived
├── Refused         a safety rule forbids it, and the action was not taken: remove the cause first
├── Ambiguous       the outcome is unknown: query the venue before anything else
├── Retryable       a temporary fault: try again later
├── Unavailable     something outside this process is missing: continue without it, or stop
└── Corrupt         a record or a state is damaged: stop, keep the evidence
    └── IllegalTransition   the order state table has no such transition
"""


class AutoHedgeError(Exception):
    """Root of the tree; its text is one line that names cause and cure."""


class Misconfigured(AutoHedgeError):
    """The input is wrong: fix it and try again. The command line exits with 2."""


class StrategyFailed(Misconfigured):
    """The code of a user's strategy raised an error or called sys.exit."""


class Rejected(AutoHedgeError):
    """A venue or a check refused the request; repeating it unchanged does not help."""


class Duplicate(Rejected):
    """The venue already has an order with this id; an earlier request for it arrived."""


class Refused(AutoHedgeError):
    """A safety rule of AutoHedge forbids the action, and it was not taken. The command line exits with 3."""


class Ambiguous(AutoHedgeError):
    """The outcome is unknown; only evidence from the venue resolves it."""


class Retryable(AutoHedgeError):
    """A temporary fault: the request had no effect, and may succeed if repeated after `after_s` seconds."""

    def __init__(self, text: str, after_s: float = 0.0) -> None:
        super().__init__(text)
        self.after_s = after_s


class Unavailable(AutoHedgeError):
    """Something outside this process is missing or does not answer."""


class Corrupt(AutoHedgeError):
    """A record or a state contradicts itself; trading on it must stop."""


class IllegalTransition(Corrupt):
    """The order state table has no such transition."""
