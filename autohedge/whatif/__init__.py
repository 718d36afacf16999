"""What-if studies: re-asks the questions of a recorded run with a change, and simulates the run with it."""

from autohedge.whatif.as_json import as_dict
from autohedge.whatif.change import Change
from autohedge.whatif.study import Study, study

__all__ = ["Change", "Study", "as_dict", "study"]
