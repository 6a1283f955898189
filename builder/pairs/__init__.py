"""Choose engines for a detector and a recognizer together, within one end-to-end budget."""

from .optimize_pairs import optimize_pair
from .pair_request import PairRequest, default_budget
from .pairs_report import PairsReport

__all__ = ["PairRequest", "PairsReport", "default_budget", "optimize_pair"]
