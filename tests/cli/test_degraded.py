"""A run most of whose questions got no answer says so first, and ends with exit code 4."""

import json
from pathlib import Path

import pytest

from autohedge.core.abstentions import degradation
from tests.llm.imitation_server import Imitation, ReceivedRequest, Reply, completion, json_reply, llama_cpp
from tests.process_harness import ProcessHarness
from tests.report_factory import deliberation_figures

CHANGES = {
    "trading__mode": "llm",
    "synthetic__hours": 0.05,
    "synthetic__symbols": '["BTC/USD"]',
    "llm__provider": "openai",
    "llm__model": "smollm2",
    "llm__min_interval_s": 20,
    "llm__retries": 0,
    "llm__max_wait_s": 0,
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps what is measured of the servers out of the user's cache."""
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path / "cache"))


def _after_the_probe(server: Imitation, reply: Reply) -> Imitation:
    """Answers the probe at the start, and every request of an agent with `reply`."""
    chat = server.pages["/v1/chat/completions"]

    def answer(request: ReceivedRequest) -> Reply:
        return reply if "Symbol:" in json.dumps(request.body) else chat(request)

    server.pages["/v1/chat/completions"] = answer
    return server


def _harness(place: Path, server: Imitation, **changes: object) -> ProcessHarness:
    return ProcessHarness(place, CHANGES | {"llm__base_url": server.base_url} | changes)


def test_unanswered_questions_come_first_and_give_code_4(tmp_path: Path) -> None:
    down = json_reply({"error": "the model crashed"}, 500)
    with _after_the_probe(llama_cpp(), down) as server:
        harness = _harness(tmp_path, server)
        shown = harness.call("run")
        as_json = harness.call("run", "--json")
        tolerated = _harness(tmp_path, server, llm__tolerate_failures="true").call("run", "--json")
    assert shown.returncode == 4 and shown.stdout.startswith("Degraded: ")
    first = shown.stdout.splitlines()[0]
    assert "questions got no answer from the model: " in first and "server_error 5" in first
    assert as_json.returncode == 4 and json.loads(as_json.stdout)["deliberations"]["asked"]
    assert "got no answer from the model" in as_json.stderr.splitlines()[-1]
    assert tolerated.returncode == 0


def test_account_without_quota_gives_code_4(tmp_path: Path) -> None:
    spent = {"error": {"message": "You have no credits left.", "code": "insufficient_quota"}}
    with _after_the_probe(llama_cpp(), json_reply(spent, 429)) as server:
        done = _harness(tmp_path, server).call("run", "-q")
    assert done.returncode == 4 and "quota 5" in done.stderr


@pytest.mark.parametrize("text", ["I would not.", ""])
def test_refused_answers_are_no_degradation(tmp_path: Path, text: str) -> None:
    usage = {"prompt_tokens": 3000, "completion_tokens": 7, "total_tokens": 3007}
    with _after_the_probe(llama_cpp(), json_reply(completion(text, usage=usage))) as server:
        done = _harness(tmp_path, server).call("run", "--json")
    assert done.returncode == 0, done.stderr
    codes = json.loads(done.stdout)["deliberations"]["abstentions"]
    assert sum(codes.values()) > 5


@pytest.mark.parametrize(("lost", "degraded"), [(5, False), (6, True)])
def test_only_more_than_half_of_the_needed_answers_degrade_a_run(lost: int, degraded: bool) -> None:
    abstentions = {"server_error": lost, "no_json": 2}
    figures = deliberation_figures(asked=15, bypassed=3, cached=2, abstentions=abstentions)
    assert bool(degradation(figures)) is degraded
    assert degradation(None) == ""
