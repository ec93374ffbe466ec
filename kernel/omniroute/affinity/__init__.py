"""Which conversation stays where: a preference that saves prompt caches, never a chain.

A conversation is told by what its client calls it, else by how it begins; only digests of either are kept.
"""

from omniroute.affinity.bindings import Binding, Bindings, SavedBinding
from omniroute.affinity.following import Affinity, Following, SavedAffinity
from omniroute.affinity.keys import SessionKeys
from omniroute.affinity.price import Side, Weighed, weigh
from omniroute.affinity.threads import Threads

__all__ = [
    "Affinity",
    "Binding",
    "Bindings",
    "Following",
    "SavedAffinity",
    "SavedBinding",
    "SessionKeys",
    "Side",
    "Threads",
    "Weighed",
    "weigh",
]
