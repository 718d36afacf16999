"""`autohedge replay` prints the results of both replays."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from autohedge.journal import RunFolder
from tests.forged_record_factory import Lines, first, rewrite
from tests.graph.record_factory import forging, hybrid, transcribed, with_message
from tests.process_harness import ROOT, ProcessHarness
from tests.test_imports import MODEL_PACKAGES

Forge = Callable[[RunFolder], RunFolder]
QUIET = (
    "import sys\n"
    "from autohedge import cli\n"
    "sys.argv = ['autohedge', 'replay', *sys.argv[1:]]\n"
    "try:\n    cli.main()\n"
    "finally:\n"
    "    parts = {'agents', 'graph', 'llm', 'prompts', 'tools'}\n"
    "    found = {name for name in sys.modules if name.split('.')[1:2] and name.startswith('autohedge.')\n"
    "             and name.split('.')[1] in parts}\n"
    f"    found |= set({MODEL_PACKAGES}) & set(sys.modules)\n"
    "    print(sorted(found), file=sys.stderr)\n"
)


def _replay(folder: RunFolder, *args: str) -> subprocess.CompletedProcess[str]:
    return ProcessHarness(ROOT, {}).call("replay", str(folder.path), *args)


def test_replay_prints_both_results(by_rules: RunFolder) -> None:
    done, lines = _replay(by_rules), transcribed(by_rules)
    assert (done.returncode, done.stderr) == (0, "")
    summary = f"{len(lines)} deliberations reread, {len(lines)} requests rendered again to the byte"
    assert done.stdout == f"{by_rules.id}: every output reproduced; {summary}\n"


def test_engine_only_replay_imports_no_agent_modules(by_rules: RunFolder) -> None:
    assert by_rules.transcript.stat().st_size
    command = [sys.executable, "-c", QUIET, str(by_rules.path), "--engine-only"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout == f"{by_rules.id}: every output reproduced\n"
    assert done.stderr == "[]\n"


def test_a_difference_in_a_deliberation_is_one_line_and_exit_code_1(
    by_rules: RunFolder, forge: Forge
) -> None:
    folder = forge(by_rules)
    with forging(folder, named=False) as lines:
        lines[0] = with_message(lines[0], 0, "!")
    done = _replay(folder)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert (
        "every output reproduced; differs at deliberation 1, BTC/USD, call 0, request message 1"
        in done.stderr
    )
    assert _replay(folder, "--engine-only").returncode == 0
    quiet = _replay(folder, "--quiet")
    assert (quiet.returncode, quiet.stdout) == (1, "")


def test_json_has_both_parts(by_rules: RunFolder, forge: Forge) -> None:
    folder = forge(by_rules)
    part = _json(folder)["deliberations"]
    assert part["same"] and part["difference"] is None
    assert part["reread"] == part["requests"] == len(transcribed(folder))
    assert _json(folder, "--engine-only")["deliberations"] is None

    def decide(lines: Lines) -> None:
        first(lines, type="decision", number=2)["event"]["code"] = "x"

    rewrite(folder, decide)
    output = _json(folder)
    assert not output["same"]
    assert output["deliberations"]["difference"]["what"] == "decision code"
    assert output["deliberations"]["difference"]["deliberation"] == 2


def _json(folder: RunFolder, *args: str) -> dict[str, Any]:
    output: dict[str, Any] = json.loads(_replay(folder, *args, "--json").stdout)
    return output


def test_hft_replay_prints_engine_part_only(workplace: Path) -> None:
    folder = hybrid(trading__mode='"hft"')
    assert _replay(folder).stdout == f"{folder.id}: every output reproduced\n"


def test_unfinished_run_replay_prints_how_far_it_goes(by_rules: RunFolder, forge: Forge) -> None:
    folder = forge(by_rules)
    whole = folder.journal.read_bytes().splitlines(keepends=True)
    folder.results.unlink()
    folder.journal.write_bytes(b"".join(whole[: len(whole) // 2]))
    output = _replay(folder).stdout
    assert "every output reproduced; " in output and " in the transcript alone" in output
    assert output.endswith(" (unfinished: as far as the record goes)\n")
