"""The live table of upstream accounts, and their rows in the database."""

from omniroute.accounts.declared import unknown_provider
from omniroute.accounts.rows import Login, identity_of
from omniroute.accounts.table import Accounts

__all__ = ["Accounts", "Login", "identity_of", "unknown_provider"]
