"""Reads the variables of the process and of a .env file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from dotenv import dotenv_values

from protocols.errors import ConfigError


def read_environment(path: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of the .env file at `path`, if it exists, overridden by `environ`; neither is changed.

    `$` in a value is plain text, because a key may contain one.

    :raises ConfigError: the file cannot be read.
    """
    try:
        values = dotenv_values(path, encoding="utf-8-sig", interpolate=False)
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8; save it as UTF-8", file=str(path)) from error
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=str(path)) from error
    return {name: value for name, value in values.items() if value is not None} | dict(environ)
