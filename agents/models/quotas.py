"""Where the leases of accounts come from: by default files in the user's cache folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

from memory.storage.quota_file import QuotaFile
from protocols.leases.lease import Source
from protocols.providers.catalogue import PROVIDERS, Account
from protocols.providers.local.quicker import folder

HOMES = ("XDG_CACHE_HOME", "HOME", "LOCALAPPDATA")
"""The variables that say where the user's cache folder is."""


class Quotas(Protocol):
    """Where the leases of accounts come from."""

    def source(self, account: Account, closing: ExitStack) -> Source | None:
        """The source of this account's leases, until the stack is closed; None: the account is not shared."""


class QuotaFiles:
    """Shares the accounts of this user on this machine, through files in the cache folder that `environ` names.
    `tell` is told of files that cannot be used."""

    def __init__(self, environ: Mapping[str, str], tell: Callable[[str], None]) -> None:
        self._tell = tell
        known = any(environ.get(name, "").strip() for name in HOMES)
        self._folder: Path | None = folder(environ) / "limits" if known else None

    def source(self, account: Account, closing: ExitStack) -> Source | None:
        if self._folder is None or not is_shared(account):
            return None
        identity = f"{account.provider}\n{account.address}\n{account.key}"
        file = QuotaFile(self._folder, identity, self._tell)
        closing.callback(file.close)
        return file


def is_shared(account: Account) -> bool:
    """Whether other processes may use the same account: one at an address of a provider. Models in this process have
    no account, and which one an own model or client uses is unknown."""
    return account.provider in PROVIDERS and "://" in account.address
