"""Limits on requests and tokens: per client key, account, provider and for the whole gateway. Waiting in line where they bite."""

from omniroute.gates.gate import Block, Gate, SavedGate
from omniroute.gates.lines import Lines, Pass
from omniroute.gates.table import Admission, Gates, gated

__all__ = ["Admission", "Block", "Gate", "Gates", "Lines", "Pass", "SavedGate", "gated"]
