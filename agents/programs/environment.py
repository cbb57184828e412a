"""What a user's command is, and the environment that its workers run in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BASE_URL: Final = "OPENAI_BASE_URL"
API_KEY: Final = "OPENAI_API_KEY"
FAMILY: Final = re.compile(r"(.+?)_(?:API_)?(?:BASE_URL|BASE|URL|ENDPOINT|HOST)")
"""The name of a base URL, after that of its provider."""
DEFAULTS: Final = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
"""Set unless the user sets them: a line printed to a pipe would wait in Python's buffer, in the encoding of the
locale."""
PROXIES: Final = ("no_proxy", "NO_PROXY")
LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Command:
    """A program of another environment or language.

    `arguments`: the command and its arguments, at least one; `folder`: where it runs, the configuration's.
    `base_url`: the variable that tells it where to send its model calls; `api_key`: the one that holds the key for
    it, "" for that of the same provider (`key_name`). `workers`: the most processes (>= 1). `timeout`: the seconds
    that it has for an example, without those of its model calls.
    """

    arguments: tuple[str, ...]
    folder: Path
    base_url: str = BASE_URL
    api_key: str = ""
    workers: int = 8
    timeout: float = 300.0

    @property
    def shown(self) -> str:
        """The command for messages."""
        return " ".join(self.arguments)

    @property
    def key_name(self) -> str:
        """The variable of the key: `ANTHROPIC_API_KEY` beside `ANTHROPIC_BASE_URL`."""
        family = family_of(self.base_url)
        return self.api_key or (f"{family}_API_KEY" if family else API_KEY)


def family_of(base_url: str) -> str:
    """`OPENAI` for `OPENAI_BASE_URL`; "" if the name follows no such pattern."""
    found = FAMILY.fullmatch(base_url)
    return found[1] if found else ""


def environment(command: Command, environ: Mapping[str, str], url: str, token: str) -> dict[str, str]:
    """The user's environment with the endpoint's URL and token in place of the provider's.

    Other base URLs and keys of the same provider are replaced too, if they are set (`OPENAI_API_BASE`,
    `ANTHROPIC_AUTH_TOKEN`): some libraries prefer them. Loopback is excepted from the user's proxy.
    """
    made = DEFAULTS | dict(environ)
    if family := family_of(command.base_url):
        for name in environ:
            if re.fullmatch(rf"{re.escape(family)}_\w*(?:KEY|TOKEN)", name):
                made[name] = token
            elif (found := FAMILY.fullmatch(name)) and found[1] == family:
                made[name] = url
    direct = next((environ[name] for name in PROXIES if environ.get(name)), "")
    if direct != "*":
        made |= dict.fromkeys(PROXIES, ",".join(filter(None, [direct, LOOPBACK])))
    return made | {command.base_url: url, command.key_name: token}
