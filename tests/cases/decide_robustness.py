"""Decides the cases on damaged caches of compiled code."""

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


DECISIONS: dict[str, Decide] = {"damaged_jit_cache": damaged_jit_cache}
