"""The public names, in one place. Defines nothing."""

from msgspec import Raw

from omniroute import contracts, errors, model
from omniroute.carrier import carried, carry
from omniroute.contracts import *  # noqa: F403
from omniroute.errors import *  # noqa: F403
from omniroute.hookspecs import hookimpl
from omniroute.losses import extension_losses
from omniroute.model import *  # noqa: F403
from omniroute.provider import FactsProvider
from omniroute.secret import Secret
from omniroute.settings import Settings

__all__ = ["FactsProvider", "Raw", "Secret", "Settings", "carried", "carry", "extension_losses", "hookimpl"]
__all__ += contracts.__all__
__all__ += errors.__all__
__all__ += model.__all__
