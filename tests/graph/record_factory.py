"""Hybrid runs to replay, and functions that forge their transcripts."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from autohedge import app, config
from autohedge.app.records import RunRecord
from autohedge.app.trading_run import TradingRun
from autohedge.core.clock import NEVER
from autohedge.core.events import PromptsChanged
from autohedge.core.ids import nonce_from_seed
from autohedge.core.results import ProcessFigures
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.replay_diff import DeliberationDifference
from autohedge.graph.runtime import InProcessRuntime
from autohedge.journal import Journal, RunFolder
from autohedge.journal.chain import BufferedStore
from autohedge.llm.transcript import TranscriptEntry, encode_entry, read
from autohedge.market import TapeSource, open_tape
from autohedge.runtime.observers import NullObserver
from autohedge.runtime.run_view import RunView
from autohedge.runtime.virtual import VirtualRuntime
from tests.forged_record_factory import Lines, rewrite
from tests.run_harness import settings

TIGHT = {
    "momentum__min_edge_bps": 0.5,
    "exits__take_profit_bps": 3,
    "exits__stop_loss_bps": 2,
    "account__maker_bps": 2,
    "account__taker_bps": 2,
}
REAL_ROWS = 20_000
ANSWER = json.dumps(
    {
        "decision": "trade",
        "symbol": "BTC/USD",
        "direction": "long",
        "confidence_pct": 70,
        "thesis": "It rises.",
        "key_levels": [1.5],
        "horizon_minutes": 5,
        "expected": "A rise.",
        "happened": "None.",
        "lesson": "Patience pays.",
        "evidence": "One trade.",
        "valid_for_minutes": 600,
    }
)
SCRIPT: list[Any] = [
    ANSWER.replace("BTC/USD", "ETH/USD"),
    ANSWER,
    f"```json\n{ANSWER}\n```",
    "It looks well, I would buy.",
    ANSWER,
    {"text": "", "refusal": "I cannot help with that."},
    {"text": ANSWER[:50], "finish_reason": "length"},
    "Still prose.",
    {"failure": "server_error"},
    f"<think>{{hm}}</think>{ANSWER}",
    *[ANSWER.replace("BTC/USD", "ETH/USD")] * 3,
    ANSWER.replace("70", '"70"'),
    *[ANSWER.replace("70", "true")] * 3,
    f"{ANSWER} Wait, no.",
    {"text": ANSWER, "usage": {"prompt_tokens": 3, "completion_tokens": 9}},
    ANSWER,
]


def hybrid(**overrides: Any) -> RunFolder:
    """Returns a finished hybrid run of one synthetic symbol in the working directory."""
    symbol = {"synthetic__symbols": '["BTC/USD"]'}
    wanted = settings(**({"trading__mode": '"hybrid"', "synthetic__hours": 0.3} | symbol | overrides))
    return RunFolder(RunFolder.find(app.run(wanted, app.tape_for(wanted, [])).run).path.resolve())


def scripted(script: list[Any], **overrides: Any) -> RunFolder:
    """Returns the same with prepared answers and without retries."""
    path = Path("script.jsonl")
    path.write_text("".join(f"{json.dumps(line)}\n" for line in script))
    llm = {"llm__provider": '"scripted"', "llm__script": f'"{path}"', "llm__retries": 0}
    return hybrid(**(llm | overrides))


def edited(*texts: str, **overrides: Any) -> RunFolder:
    """Returns a finished run with the rules, whose Director prompt changed to these texts in even steps.

    As in a run on a clock, but in virtual time: each change is stored, recorded, and used from then on.
    """
    small = {"trading__mode": '"hybrid"', "synthetic__hours": 0.3, "synthetic__symbols": '["BTC/USD"]'}
    wanted = settings(**small | overrides)
    tape, nonce, prompt_files = app.tape_for(wanted, []), nonce_from_seed(wanted.seed), PromptFiles.of(wanted)
    with closing(InProcessRuntime(wanted, prompt_files)) as agent_runtime:
        folder, head = app.open_record(wanted, tape, agents=agent_runtime)
        journal, engine = Journal(BufferedStore(folder.journal), head, 1), app.engine_for(wanted, tape)
        decision_source, venue = (
            agent_runtime.decision_source(folder.transcript),
            app.venue_for(wanted, tape, nonce),
        )
        runtime = VirtualRuntime(engine, venue, tape.rows, journal, decision_source, clock=venue)
        runtime.begin(nonce)
        for number, text in enumerate(texts, start=1):
            at_ns = int(tape.rows.ts[len(tape.rows) * number // (len(texts) + 1)])
            runtime.advance(at_ns)
            now = prompt_files.with_prompts({"director": (text, "")}).prompts
            runtime.on_prompts = lambda _, now=now: agent_runtime._service.update_prompts(now)
            runtime.inject(PromptsChanged(at_ns, {"director": folder.store_file(text.encode(), ".md")}))
        runtime.advance(NEVER)
        runtime.finish()
        journal.close()
        observer = NullObserver(RunView(engine, tape.rows), folder.id)
        run = TradingRun(wanted, tape, engine, RunRecord(folder, journal), observer, agent_runtime)
        results = app.finish_run(run, ProcessFigures(agent_runtime.summary()))
    return RunFolder(RunFolder.find(results.run).path.resolve())


def by_model(
    shared: Path, base_url: str, folder: Path, overrides: Sequence[str], announcements: list[str]
) -> RunFolder:
    """Returns a run on a part of a recorded tape with a real model; its notices go to `announcements`."""
    whole = pl.read_parquet(shared / "data/binance/spot/BTCUSDT_20240808_quotes.parquet")
    whole.head(REAL_ROWS).write_parquet(folder / "BTCUSDT.parquet")
    source = TapeSource(folder / "BTCUSDT.parquet", "BTCUSDT")
    return on_tapes([source], base_url, folder, overrides, announcements)


def on_tapes(
    sources: Sequence[TapeSource],
    base_url: str,
    folder: Path,
    overrides: Sequence[str],
    announcements: list[str],
) -> RunFolder:
    """Returns a run on whole tapes with a real model, recorded in `folder`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("AUTOHEDGE_CACHE_DIR", str(folder / "cache"))
        wanted = config.load(overrides=[*overrides, f"llm.base_url={base_url}"])
        results = app.run(wanted, open_tape(list(sources)), notify=announcements.append)
        return RunFolder(RunFolder.find(results.run).path.resolve())


def copied(folder: RunFolder, to: Path) -> RunFolder:
    """Returns a copy of a run in another folder."""
    return RunFolder(Path(shutil.copytree(folder.path, to / folder.id)))


def transcribed(folder: RunFolder) -> list[TranscriptEntry]:
    """Returns the lines of a transcript."""
    return list(read(folder.transcript))


@contextmanager
def forging(folder: RunFolder, *, named: bool) -> Iterator[list[TranscriptEntry]]:
    """Changes the lines of a transcript, and recomputes the hash of each line.

    With `named` the decisions of the journal name the new hashes, and its chain is rebuilt.
    """
    lines = transcribed(folder)
    yield lines
    whole = [(line.hash, *encode_entry(line)) for line in lines]
    folder.transcript.write_bytes(b"".join(raw for _, raw, _ in whole))
    if named:
        _name(folder, {old: new for old, _, new in whole})


def _name(folder: RunFolder, hashes: dict[str, str]) -> None:
    def rename(lines: Lines) -> None:
        for line in lines:
            if line.get("event", {}).get("type") == "decision":
                line["event"]["calls"] = [hashes.get(each, each) for each in line["event"]["calls"]]

    rewrite(folder, rename)


def rewrite_file(folder: RunFolder, which: Callable[[dict[str, Any]], str], old: str, new: str) -> None:
    """Changes a file of the genesis, and names it by its new content there."""

    def rename(lines: Lines) -> None:
        agents = lines[0]["genesis"]["agents"]
        name = which(agents)
        text = folder.stored_file(name).read_text()
        assert old in text
        stored_name = folder.store_file(text.replace(old, new, 1).encode(), Path(name).suffix)
        lines[0]["genesis"]["agents"] = json.loads(json.dumps(agents).replace(name, stored_name))

    rewrite(folder, rename)


def rewrite_version(folder: RunFolder, version: str) -> RunFolder:
    """Names another version as the one that recorded a run; returns the run."""

    def rename(lines: Lines) -> None:
        lines[0]["genesis"]["autohedge"] = version

    rewrite(folder, rename)
    return folder


def with_message(line: TranscriptEntry, message: int, text: str) -> TranscriptEntry:
    """Returns a line with another text in its request."""
    assert line.request
    messages = list(line.request.messages)
    messages[message] = msgspec.structs.replace(messages[message], content=text)
    request = msgspec.structs.replace(line.request, messages=tuple(messages))
    return msgspec.structs.replace(line, request=request)


def with_answer(line: TranscriptEntry, text: str) -> TranscriptEntry:
    """Returns a line with another text in its answer."""
    assert line.response
    return msgspec.structs.replace(line, response=msgspec.structs.replace(line.response, text=text))


def replayed(folder: RunFolder) -> DeliberationDifference | None:
    """Returns the first difference between the deliberations of a run and their record, or None."""
    replay = app.replay_deliberations(folder)
    assert replay
    return replay.difference


def require_difference(folder: RunFolder) -> DeliberationDifference:
    """Returns the first difference, which must exist."""
    difference = replayed(folder)
    assert difference
    return difference
