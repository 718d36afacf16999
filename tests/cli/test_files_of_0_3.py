"""The files of a user of version 0.3: settings, prompts and a strategy work unchanged."""

import shutil
from pathlib import Path

import pytest

from autohedge import app, config
from autohedge.app.verification import check_record
from autohedge.journal import RunFolder
from autohedge.llm.transcript import read

SETTINGS = Path(__file__).parents[1] / "config" / "config_of_0_3.toml"
STRATEGY = """
from autohedge.strategies import Kind, Signal, Strategy

class Swing(Strategy):
    reads = Kind.QUOTES

    def __init__(self, step: int) -> None:
        self.step, self.seen = step, 0

    def on_quote(self, quote):
        self.seen += 1
        if self.seen % (2 * self.step) == self.step:
            return Signal.BUY
        return Signal.SELL if self.seen % (2 * self.step) == 0 else None
"""
PROMPT = """---
version: 1
temperature: 0.2
max_tokens: 300
---
# System

You watch one market. Answer with a JSON object.

# User

MINE {symbol} {at} {rows}
{table}
{indicators}
{account}
{headlines}
{lessons}
"""


@pytest.fixture
def files(workplace: Path) -> None:
    shutil.copy(SETTINGS, workplace / "config.toml")
    (workplace / "swing.py").write_text(STRATEGY)
    (workplace / "prompts").mkdir()
    (workplace / "prompts" / "director.md").write_text(PROMPT)


@pytest.mark.usefixtures("files")
def test_files_of_version_0_3_trade_without_a_change() -> None:
    changes = [
        'trading.mode="hybrid"',
        "strategy.name=swing.py:Swing",
        "strategy.params={step=40}",
        "hybrid.starts_open=true",
        "hybrid.gate_refresh_quotes=100",
    ]
    market = ["synthetic.hours=0.05", 'synthetic.symbols=["A/USD"]', "simulated.fee_bps=4"]
    settings = config.load(overrides=[*changes, *market])
    report = app.run(settings, app.tape_for(settings, []))
    assert report.buys == report.sells > 0 and (report.longs, report.shorts) == (None, None)
    fill = report.parsed_fills()[0]
    assert fill.fee == fill.qty * fill.price * 4 / 10_000
    folder = RunFolder.find(report.run)
    requests = [line.request for line in read(folder.transcript) if line.request]
    asked = [request.messages[1].content for request in requests if request.agent == "director"]
    assert asked and all(text.startswith("MINE A/USD") for text in asked)
    assert not [part.damage for part in check_record(folder).parts.values() if part.damage]
