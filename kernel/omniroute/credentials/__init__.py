"""Upstream credentials: the vault they are kept in, signing in, and renewing them before and when they are refused.

Every request and every sleep of a sign-in or a refresh is done here; auth schemes only say what is to be done.
"""

from omniroute.credentials.vault import Vault
from omniroute.credentials.vault_key import VaultKey, open_vault

__all__ = ["Vault", "VaultKey", "open_vault"]
