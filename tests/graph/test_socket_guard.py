"""A hybrid run contacts only its model's server; a run with the rules backend contacts no server.

Each runs in a process in which the interpreter's audit events guard all connections and name lookups.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.graph.hybrid_harness import EAGER, answer
from tests.llm.imitation_server import completion, json_reply, llama_cpp
from tests.process_harness import ROOT

pytestmark = pytest.mark.process

TEMPTING = {
    **dict.fromkeys(("LANGSMITH_TRACING", "LANGSMITH_TRACING_V2", "LANGCHAIN_TRACING_V2"), "true"),
    **dict.fromkeys(("LANGCHAIN_TRACING", "LANGCHAIN_HANDLER"), "true"),
    "LANGSMITH_API_KEY": "lsv2_pt_0123456789abcdef0123456789abcdef_0123456789",
    "LANGSMITH_ENDPOINT": "http://192.0.2.1:9",
    "AUTOHEDGE_LLM_API_KEY": "sk-not-a-key-0123456789",
    "OPENAI_API_KEY": "sk-not-a-key-9876543210",
    "OPENAI_BASE_URL": "http://192.0.2.1:9/v1",
    "OPENAI_PROXY": "http://192.0.2.1:9",
    **dict.fromkeys(("http_proxy", "https_proxy", "all_proxy", "no_proxy"), "http://192.0.2.1:9"),
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"), "http://192.0.2.1:9"),
}


def _guarded(place: Path, allowed: list[str], *overrides: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | TEMPTING | {"PYTHONPATH": str(ROOT), "AUTOHEDGE_CACHE_DIR": str(place / "cache")}
    command = [
        sys.executable,
        str(ROOT / "tests" / "graph" / "socket_guard.py"),
        json.dumps(overrides),
        *allowed,
    ]
    return subprocess.run(
        command, check=False, cwd=place, env=env, capture_output=True, text=True, timeout=120
    )


def _eager(**changes: Any) -> list[str]:
    values = {key.replace("__", "."): json.dumps(value) for key, value in (EAGER | changes).items()}
    return [f"{key}={value}" for key, value in values.items()]


def _found(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_hybrid_run_contacts_only_its_model(tmp_path: Path) -> None:
    with llama_cpp() as server:
        server.failing(json_reply(completion(answer(), usage=None)))
        done = _guarded(
            tmp_path,
            [f"127.0.0.1:{server.port}"],
            *_eager(llm__provider="openai", llm__base_url=server.base_url),
        )
        found = _found(done)
        assert len(server.chats()) > 3
    assert found["contacted"] == [["127.0.0.1", server.port]]
    assert found["calls"]["accepted"] >= 3
    assert found["buys"] > 3


@pytest.mark.parametrize("mode", ["hft", "hybrid"])
def test_rules_run_contacts_no_address(mode: str, tmp_path: Path) -> None:
    found = _found(_guarded(tmp_path, [], *_eager(trading__mode=mode)))
    assert found["contacted"] == []
    assert found["buys"] > 0


def test_the_guard_sees_a_connection_that_is_not_allowed(tmp_path: Path) -> None:
    with llama_cpp() as server:
        done = _guarded(tmp_path, [], *_eager(llm__provider="openai", llm__base_url=server.base_url))
    assert done.returncode == 97
    assert done.stderr.startswith("FORBIDDEN socket.")
    assert str(server.port) in done.stderr
