"""From a model string to an ordered list of candidates. Sync, in memory, no clock of its own."""

from omniroute.routing.overview import lacks, overview_of
from omniroute.routing.router import AccountTable, Router
from omniroute.routing.routes import Candidate, Leg, Overview, Route, dead_ends
from omniroute.routing.terms import Terms, terms_of
from omniroute.routing.wildcards import specificity

__all__ = [
    "AccountTable",
    "Candidate",
    "Leg",
    "Overview",
    "Route",
    "Router",
    "Terms",
    "dead_ends",
    "lacks",
    "overview_of",
    "specificity",
    "terms_of",
]
