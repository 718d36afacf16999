"""Messages of failures: one line at the start, one during the run, one in the summary."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autohedge import app
from autohedge.console.event_log import event_log_factory
from autohedge.console.summary import print_summary
from autohedge.core.errors import AutoHedgeError, Misconfigured, Unavailable
from autohedge.core.results import RunReport
from autohedge.journal import RunFolder
from tests.graph.hybrid_harness import EAGER, START_NS, answer, market
from tests.llm.imitation_server import json_reply, llama_cpp
from tests.run_harness import settings

SECRET = "sk-live-0123456789abcdef0123"


@pytest.fixture
def nowhere() -> Iterator[str]:
    """An address without a server."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


def _run(**changes: Any) -> RunReport:
    wanted = settings(**EAGER | changes)
    return app.run(wanted, market(), [event_log_factory(wanted, on_clock=False, quiet=False)])


def _abstentions(report: RunReport) -> dict[str, int]:
    assert report.deliberations
    return report.deliberations.abstentions


def _refused(kind: type[AutoHedgeError], **changes: Any) -> str:
    """Returns the one line with which a run is refused; the run must leave no files."""
    with pytest.raises(kind) as refusal:
        _run(**changes)
    assert not Path("runs").exists()
    message = str(refusal.value)
    assert message.isprintable()
    return message


def test_run_without_model_server_is_refused_in_one_line(workplace: Path, nowhere: str) -> None:
    message = _refused(Unavailable, llm__provider="openai", llm__base_url=nowhere)
    assert message.startswith(f"{nowhere}: no connection")
    assert message.endswith("; start it, or set llm.base_url; or choose llm.provider=rules")


def test_refused_api_key_stops_run_with_its_own_remedy(workplace: Path) -> None:
    with llama_cpp() as server:
        server.pages["/v1/models"] = lambda _: json_reply({"error": {"message": "bad key"}}, 401)
        message = _refused(Unavailable, llm__provider="openai", llm__base_url=server.base_url)
    assert "401: bad key; set AUTOHEDGE_LLM_API_KEY" in message
    assert "start" not in message


def test_named_model_without_server_starts_with_closed_gates(
    workplace: Path, nowhere: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = {"llm__provider": "openai", "llm__base_url": nowhere, "llm__model": "m-1"}
    results = _run(**named, hybrid__starts_open=False)
    assert results.buys == 0
    assert _abstentions(results) == {"unreachable": 11}
    sentence = "unreachable: the model's server cannot be reached; start it, or set llm.base_url"
    line = sentence.replace("unreachable", "(unreachable)")
    assert capsys.readouterr().err.splitlines() == [f"[AGENT] X: no answer {line}"]
    print_summary(results)
    assert sentence.replace(": ", " 11 ", 1) in " ".join(capsys.readouterr().out.split())


def test_normal_log_reports_each_abstention_and_closed_gate(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("script.jsonl").write_text('"I would buy."\n')
    results = _run(llm__provider="scripted", llm__script="script.jsonl", chatter_level="normal")
    lines = capsys.readouterr().err.splitlines()
    expected = "[AGENT] X: no answer (no_json): the answer was not exactly one JSON object; use another model or prompt"
    assert lines.count(expected) == _abstentions(results)["no_json"]
    assert "[HYBRID] Gate CLOSED for X: no_json." in lines


def test_repeated_timeouts_are_reported_in_one_line(
    workplace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("script.jsonl").write_text(f"{json.dumps(answer())}\n")
    timing = {"llm__virtual_latency_s": 600, "hybrid__deadline_s": 3}
    results = _run(llm__provider="scripted", llm__script="script.jsonl", **timing)
    assert _abstentions(results)["timeout"] > 5
    lines = [line for line in capsys.readouterr().err.splitlines() if "(timeout)" in line]
    assert len(lines) == 1
    assert lines[0].startswith("[AGENT] X: no answer (timeout): the model did not answer in time; raise ")


BROKEN = {
    "prompts/director.md": ("hello\n", {}, "prompts/director.md, line 1: a prompt begins with"),
    "news.jsonl": (
        '{"title": "a"}\n{"title": 5}\n',
        {"tools__headlines": "news.jsonl"},
        "news.jsonl, line 2: ",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_is_refused_at_the_start_with_its_line(name: str, workplace: Path) -> None:
    content, changes, begins = BROKEN[name]
    path = workplace / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content)
    assert _refused(Misconfigured, **changes).startswith(begins)


def test_a_secret_in_a_headline_leaves_no_trace(workplace: Path) -> None:
    news = {"title": f"Leaked: {SECRET}", "available_at": START_NS}
    Path("news.jsonl").write_text(f"{json.dumps(news)}\n")
    with llama_cpp() as server:
        results = _run(
            tools__headlines="news.jsonl",
            llm__provider="openai",
            llm__base_url=server.base_url,
            llm__context_tokens=100_000,
        )
        bodies = [
            json.dumps(request.body) for request in server.chats() if "Leaked" in json.dumps(request.body)
        ]
    assert bodies
    assert not any(SECRET in body for body in bodies)
    folder = RunFolder.find(results.run)
    for path in (folder.journal, folder.transcript):
        assert SECRET.encode() not in path.read_bytes()
