"""What would have come of a recorded run with something else: its questions asked again, and the run simulated again."""

from autohedge.whatif.as_json import as_dict
from autohedge.whatif.change import Change
from autohedge.whatif.study import Study, study

__all__ = ["Change", "Study", "as_dict", "study"]
