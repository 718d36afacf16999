"""A probe of a small real model, which takes the choice that is named first."""

from pathlib import Path

import pytest

from autohedge.ask import ProbePlan, probe_model
from autohedge.ask.probe_terminal import print_probe
from autohedge.market import SyntheticSpec, synthesize
from tests.run_harness import settings

pytestmark = pytest.mark.model


def test_small_real_model_does_not_read_the_figures(
    real_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path))
    own = settings(
        llm__provider='"openai"',
        llm__base_url=f'"{real_model}"',
        llm__timeout_s=180,
        llm__retries=0,
        tools__table_rows=4,
    )
    tape = synthesize(SyntheticSpec(("BTC/USD",), hours=0.05))
    probe = probe_model(own, tape, ProbePlan(rounds=1), print)
    print_probe(probe)
    assert probe.findings.verdict != "reads"
    assert sum(each.valid for each in probe.findings.variants.values()) >= 3
