"""Taking over sign-ins and keys that are on this machine already.

Reading happens where the person sits, planning where the accounts are: `reading` looks at the places that providers' facts name,
and at nothing else; `planning` says what is new. Secrets go from one to the other only after a yes, and neither writes to what
another program owns.
"""

from omniroute.importing.planning import planned
from omniroute.importing.values import (
    Candidate,
    Found,
    ImportProvider,
    ImportSources,
    LocalServer,
    Machine,
    Planned,
    TakeOver,
    Tokens,
    import_provider,
    token_id,
)

__all__ = [
    "Candidate",
    "Found",
    "ImportProvider",
    "ImportSources",
    "LocalServer",
    "Machine",
    "Planned",
    "TakeOver",
    "Tokens",
    "import_provider",
    "planned",
    "token_id",
]
