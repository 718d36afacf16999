"""Decides the cases on damaged caches of compiled code, and on cancels that the venue does not answer."""

import re

from tests.cases.checks import Check, Decide, Ended, must

DAMAGES = ("index cut", "index empty", "code cut")


def damaged_jit_cache(ended: Ended) -> list[Check]:
    """Each damage costs a line on stderr and some seconds, not the run."""
    lines = ended.out.splitlines()
    shown = {what: rest for what, _, rest in (line.partition(": ") for line in lines)}
    kept = [line for line in lines if line.endswith((".nbi", ".nbc"))]
    return [
        must(shown.get("first run") == "0" and len(kept) >= 2, "the first run keeps compiled code", lines),
        *(_goes_on(what, shown.get(what, "")) for what in DAMAGES),
        must(
            shown.get("doctor", "").startswith("0 ok   compiled code"), "doctor looks at compiled code", lines
        ),
    ]


def _goes_on(what: str, shown: str) -> Check:
    result, _, last = shown.partition(", ")
    told = "damaged" in last and "compiled again" in last
    return must(result == "0 0 traceback" and told, f"{what}: the run says so and goes on", shown)


def cancel_given_up(ended: Ended) -> list[Check]:
    """An order whose cancels are lost is cancelled again and again, and somebody hears of it."""
    shown = {what: rest for what, _, rest in (line.partition(": ") for line in ended.out.splitlines())}
    sent = re.match(r"(\d+) the last (\d+)\.\d s; now (\d+) s", shown.get("cancels sent", ""))
    count, last_s, now_s = map(int, sent.groups()) if sent else (0, 0, 0)
    told = shown.get("alarms", "")
    return [
        must(count > 10 and now_s - last_s <= 300, "cancels go on", shown),
        must(shown.get("cancels after a person's halt") == "1", "a halt cancels again", shown),
        must(
            shown.get("cancels after a restart and a list that shows it open") in {"1", "2"},
            "a restart cancels again",
            shown,
        ),
        must(told.count("'cancel_unanswered'") == 1, "one alert says so", told),
        must("halts by itself: ['the cancel of order" in told, "entries halt", told),
    ]


def two_exits(ended: Ended) -> list[Check]:
    """The second exit of a symbol stays known when the first one ends."""
    told = ended.out.strip()
    return [must(ended.exit_code == 0 and "adopted exit works: True" in told, "both exits are known", told)]


def seeds(ended: Ended) -> list[Check]:
    """Seeds that once broke an invariant hold."""
    return [must(ended.exit_code == 0 and not ended.out, "every invariant holds", ended.out)]


DECISIONS: dict[str, Decide] = {
    "cancel_given_up": cancel_given_up,
    "seeds": seeds,
    "two_exits": two_exits,
    "damaged_jit_cache": damaged_jit_cache,
}
