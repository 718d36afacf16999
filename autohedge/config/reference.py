"""The shipped `config.toml` read as text: the starter file of `autohedge init`, and docs/settings.md.

`python -m autohedge.config.reference` prints the page.
"""

import re
from collections.abc import Iterator
from itertools import chain, groupby
from textwrap import wrap
from typing import NamedTuple

from autohedge.config.loading import shipped_file
from autohedge.config.settings import applies_at

STARTER_KEYS = (
    "seed",
    "trading.mode",
    "hybrid.gate_refresh_quotes",
    "llm.provider",
    "llm.base_url",
    "llm.model",
    "llm.timeout_s",
    "agents.director.min_confidence_pct",
    "tools.table_rows",
    "strategy.name",
    "momentum.min_edge_bps",
    "momentum.max_spread_bps",
    "exits.take_profit_bps",
    "exits.stop_loss_bps",
    "sizing.target_balance_pct",
    "sizing.max_order_amount",
    "risk.max_position_notional",
    "risk.max_daily_loss_pct",
    "account.initial_cash",
    "account.taker_bps",
)
STARTER_HEAD = """\
# The settings that most people change, with their defaults. Remove what you do not change.
# All settings: `autohedge config show`, and docs/settings.md. A misspelt key is an error.
"""
PAGE_HEAD = """\
# Settings

Every setting with its default. `autohedge config show` prints the values in force and where each comes from.
Put your own values into `config.toml` in the working directory, or set one with `--set section.key=value` or
with `AUTOHEDGE__SECTION__KEY=value` in the environment or `.env`. This page is generated from the shipped
`config.toml` by `python -m autohedge.config.reference`.

What would have no effect is an error (exit code 2) that names the closest right name:

* a key or section that does not exist, also one in another case, such as `[Risk]`
* a variable that begins with `AUTOHEDGE_` and that nothing reads, such as `AUTOHEDGE_RISK_MAX_ORDER_NOTIONAL`,
  or a misspelt name of an earlier system, such as `HFT_MIN_EDGE_BP`. A variable that `llm.key` names is read
* rules or overrides of a symbol that the tape spells otherwise: `BTC/USD` where the tape has `BTC-USD` or
  `BTCUSDT`. Rules of a symbol that is simply not on the tape are one line on stderr

Lists and tables in a variable are JSON: `AUTOHEDGE__SYNTHETIC__SYMBOLS=["BTC/USD","ETH/USD"]`. Text files
(`config.toml`, `.env`, prompts, headlines, scripts) are UTF-8, or UTF-16 with a byte order mark.

The column "applies" says when a setting takes effect that
[`autohedge reload`](operating.md#change-settings-during-a-run) changes during a run:

* `live`: at once
* `next entry`: with a symbol's next entry; an open position and its orders keep what they were entered with
* `restart`: not in a run that is on; `reload` refuses it, and only a new run has it
"""
LINE_CHARS = 110
_SECTION = re.compile(r"^\[([\w.]+)\]\s*(?:# ?(.*))?$")
_SETTING = re.compile(r"^(\w+) = (\[.*?\]|\{.*?\}|\"[^\"]*\"|[^#]*?)\s*(?:# ?(.*))?$")


class Setting(NamedTuple):
    """One setting of the shipped file: section and its description, key, value as TOML, and meaning."""

    section: str
    about: str
    key: str
    value: str
    meaning: str

    @property
    def name(self) -> str:
        """The full name, as `--set` takes it."""
        return f"{self.section}.{self.key}" if self.section else self.key

    @property
    def applies(self) -> str:
        """When a change during a run takes effect."""
        return applies_at(self.name).replace("_", " ")


def shipped_settings() -> Iterator[Setting]:
    """All settings in the order of the shipped file; a comment above or behind a setting is its meaning."""
    section = about = ""
    above: list[str] = []
    for line in shipped_file().read_text(encoding="utf-8").splitlines():
        if found := _SECTION.match(line):
            section, about = found[1], " ".join([*above, found[2] or ""]).strip()
        elif found := _SETTING.match(line):
            yield Setting(section, about, found[1], found[2], " ".join([*above, found[3] or ""]).strip())
        above = [*above, line[2:]] if line.startswith("# ") else []


def starter_file() -> str:
    """A `config.toml` with the settings that most people change."""
    lines = [STARTER_HEAD]
    settings = [setting for setting in shipped_settings() if setting.name in STARTER_KEYS]
    for section, members in groupby(settings, key=lambda setting: setting.section):
        lines += [f"[{section}]"] if section else []
        lines += chain.from_iterable(map(_lines, members))
        lines.append("")
    return "\n".join(lines)


def _lines(setting: Setting) -> list[str]:
    """The setting with its meaning behind it, or above it where the line would be too long."""
    assignment = f"{setting.key} = {setting.value}"
    line = f"{assignment:<31} # {setting.meaning}" if setting.meaning else assignment
    if len(line) <= LINE_CHARS:
        return [line]
    return [*(f"# {part}" for part in wrap(setting.meaning, LINE_CHARS - 2)), assignment]


def settings_page() -> str:
    """The reference of all settings as Markdown, one table per section."""
    parts = [PAGE_HEAD]
    for section, members in groupby(shipped_settings(), key=lambda setting: setting.section):
        settings = list(members)
        parts.append(f"## `[{section}]`\n" if section else "## Top level\n")
        parts += [f"{_sentence(settings[0].about)}\n"] if settings[0].about else []
        rows = [f"| `{each.key}` | `{each.value}` | {each.applies} | {each.meaning} |" for each in settings]
        parts.append("\n".join(["| setting | default | applies | meaning |", "|---|---|---|---|", *rows, ""]))
    return "\n".join(parts)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text[-1] in ".?!" else ".")


if __name__ == "__main__":
    print(settings_page(), end="")  # noqa: T201 - the page is the output
