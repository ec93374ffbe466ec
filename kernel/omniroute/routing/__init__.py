"""From a model string to an ordered list of candidates. Sync, in memory, no clock of its own."""

from omniroute.routing.router import AccountTable, Router
from omniroute.routing.routes import Candidate, Leg, Route
from omniroute.routing.wildcards import specificity

__all__ = ["AccountTable", "Candidate", "Leg", "Route", "Router", "specificity"]
