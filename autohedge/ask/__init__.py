"""Questions outside a run: one deliberation (`autohedge ask`), or a probe of a model (`autohedge agents probe`)."""

from autohedge.ask.dry_run import AssumedPosition, DryRunResult, ask
from autohedge.ask.model_probe import ModelProbe, ProbePlan, probe_model

__all__ = ["AssumedPosition", "DryRunResult", "ModelProbe", "ProbePlan", "ask", "probe_model"]
