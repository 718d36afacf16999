"""Small recorded runs, a model server that reacts to a sentence in its prompt, and checks for every study."""

import json
import shutil
from hashlib import blake2b
from pathlib import Path
from typing import Any

from autohedge import app
from autohedge.audit import AuditFilter, audit
from autohedge.journal import RunFolder, read, verify
from autohedge.journal.folder import RUNS
from autohedge.prompts.library import builtin_path
from autohedge.whatif import Change, Study, study
from tests.llm.imitation_server import Imitation, ReceivedRequest, Reply, completion, json_reply, vllm
from tests.made_once import recorded_once
from tests.run_harness import settings

CAREFUL = "Be careful with ETH."
LIVELY: dict[str, Any] = {
    "trading__mode": '"hybrid"',
    "synthetic__hours": 0.1,
    "synthetic__symbols": '["BTC/USD", "ETH/USD"]',
    "hybrid__gate_refresh_quotes": 100,
    "hybrid__min_refresh_s": 1,
    "hybrid__no_trade_cooldown_quotes": 10,
    "momentum__min_edge_bps": 0.5,
    "momentum__warmup_count": 20,
    "exits__take_profit_bps": 3,
    "exits__stop_loss_bps": 2,
    "hybrid__learn_every_trades": 2,
    "llm__retries": 0,
}


OUTSIDE = {"llm__base_url", "llm__script", "hybrid__cache_verdicts"}
SESSION: list[Path] = []  # where the session keeps the runs that its tests want more than once


def recorded(**changes: Any) -> RunFolder:
    """Runs a short tape in virtual time, with the rules as provider unless `changes` name another.

    Gives a copy if the same run was recorded in this session, and did not depend on a server, a script or a cache.
    """
    wanted = settings(**LIVELY | changes)
    if OUTSIDE & changes.keys():
        return RunFolder.find(app.run(wanted, app.tape_for(wanted, [])).run)
    name = blake2b(repr(sorted(changes.items())).encode(), digest_size=8).hexdigest()
    made = recorded_once(SESSION[0] / name, lambda: app.run(wanted, app.tape_for(wanted, [])))
    return RunFolder(Path(shutil.copytree(made.path, RUNS / made.id)))


def obeying() -> Imitation:
    """Returns a server whose model always buys, except ETH if its prompt has CAREFUL, and has one lesson."""

    server = vllm()
    plainest = server.pages["/v1/chat/completions"]

    def chat(request: ReceivedRequest) -> Reply:
        # A single message is the capability probe on opening, not a question of an agent.
        probed = len(request.body["messages"]) < 2
        return plainest(request) if probed else json_reply(completion(_obeyed(request.body), usage=None))

    server.pages["/v1/chat/completions"] = chat
    return server


def _obeyed(body: dict[str, Any]) -> str:
    prompt = "\n".join(message["content"] for message in body["messages"])
    symbol = next(each for each in ("BTC/USD", "ETH/USD") if each in body["messages"][1]["content"])
    afraid = CAREFUL in prompt and symbol == "ETH/USD"
    return json.dumps(
        {
            "decision": "no_trade" if afraid else "trade",
            "symbol": symbol,
            "direction": "long",
            "confidence_pct": 40 if afraid else 80,
            "thesis": "I was told to be careful." if afraid else "It always rises.",
            "key_levels": [],
            "horizon_minutes": 5,
            "expected": "A rise.",
            "happened": "None.",
            "lesson": "Patience pays.",
            "evidence": "Trades.",
            "valid_for_minutes": 600,
        }
    )


def server_settings(server: Imitation) -> dict[str, Any]:
    """Returns the settings that use a model server of this machine."""
    return {
        "llm__provider": '"openai"',
        "llm__base_url": f'"{server.base_url}"',
        "llm__model": '"meta/llama"',
    }


def prompts(name: str = "director", adding: str = "") -> Path:
    """Writes one packaged prompt to a folder, with the sentence `adding` at its end."""
    folder = Path("own")
    folder.mkdir(exist_ok=True)
    text = builtin_path(name).read_text()
    (folder / f"{name}.md").write_text(f"{text.rstrip()}\n\n{adding}\n" if adding else text)
    return folder


def studied(folder: RunFolder, **change: Any) -> Study:
    """Runs a study and asserts that both of its runs verify, replay and can be audited."""
    found = study(folder, Change(**change))
    for run in (found.runs.baseline.run, found.runs.variant.run):
        require_sound(RunFolder(RUNS / run))
    return found


def require_sound(folder: RunFolder) -> None:
    """Asserts that a run verifies, replays (engine and deliberations) and can be audited."""
    assert verify(folder).finished
    assert app.replay_engine(folder) == (None, True)
    replay = app.replay_deliberations(folder)
    assert replay is None or replay.difference is None
    assert audit(folder, AuditFilter()).finished


def events(run: str) -> list[Any]:
    """Returns every entry of a run's journal except the genesis."""
    _, *lines = read(RunFolder(RUNS / run).journal)
    return [line.entry for line in lines]
