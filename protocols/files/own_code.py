"""Imports, instantiates and checks the user's code (`module:name` in a configuration) before a run, so that a fault
is reported in one line with its place in the user's file."""

from __future__ import annotations

import difflib
import inspect
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from protocols.errors import ConfigError, InputError
from protocols.text import LONGEST_REASON, one_line, redact

OURS = Path(__file__).resolve().parents[2]
LIBRARIES = (
    *(sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")),
    *(str(OURS / room) for room in ("protocols", "memory", "agents")),
)
"""Folders without code of the user."""


def imported(reference: str, key: str) -> Callable[..., Any]:
    """Import the class or function `module:name`. `key`: the setting that names it, for errors.

    :raises ConfigError: it does not exist, or importing it fails; the latter with file and line.
    """
    module, _, name = reference.partition(":")
    if reason := _no_reference(module, name):
        raise ConfigError(f"{key} {reference!r} cannot be imported: {reason}")
    try:
        with redirect_stdout(sys.stderr):  # standard output may be for one JSON document
            loaded = import_module(module)
        found: Any = getattr(loaded, name, None)
    except (Exception, SystemExit) as error:
        raise failed(error, f"{key} {reference!r} cannot be imported") from None
    if found is None:
        raise ConfigError(f"{key} {reference!r} cannot be imported: {_no_name(loaded, name)}")
    if not callable(found):
        raise ConfigError(f"{key} {reference!r} is no class and no function but a {type(found).__name__}")
    return found  # type: ignore[no-any-return]


def made(
    maker: Callable[..., Any],
    reference: str,
    key: str,
    arguments: Mapping[str, object],
    parameters: Mapping[str, object] = MappingProxyType({}),
) -> Any:
    """Call a class or a function with the values of `arguments`, in their order, and with `parameters` by name. The
    names of `arguments` are only for errors.

    :raises ConfigError: it takes other arguments, or fails.
    """
    check_takes(maker, reference, key, *arguments, **parameters)
    try:
        return maker(*arguments.values(), **parameters)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise failed(error, f"{key} {reference!r} cannot be made") from None


def check_takes(
    found: Callable[..., Any], reference: str, key: str, /, *arguments: str, **parameters: object
) -> None:
    """:raises ConfigError: it cannot be called with these arguments and parameters, or is an abstract class."""
    if inspect.isabstract(found):
        missing = ", ".join(sorted(getattr(found, "__abstractmethods__", ())))
        raise ConfigError(f"{key} {reference!r} is an abstract class; it lacks {missing}", **where(found))
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return  # some functions written in C have no signature
    try:
        signature.bind(*arguments, **parameters)
    except TypeError as error:
        wanted = ", ".join((*arguments, *parameters)) or "no argument"
        raise ConfigError(f"{key} {reference!r} must take {wanted}: {error}", **where(found)) from None


def check_method(thing: object, name: str, reference: str, key: str, *arguments: str, waits: bool, page: str) -> None:
    """Check a method of an object or of a class. `waits`: it must be `async def`, else it must not be. `page`: the
    page of the docs that explains it, for errors.

    :raises ConfigError: the method is missing, takes other arguments, or differs from `waits`.
    """
    method = getattr(thing, name, None)
    if not callable(method):
        raise ConfigError(f"{key}: {reference!r} has no method {name} ({page})", **where(thing))
    its_own = isinstance(thing, type) and not isinstance(
        inspect.getattr_static(thing, name), staticmethod | classmethod
    )
    check_takes(method, f"{reference}.{name}", key, *(["self"] if its_own else []), *arguments)
    plain = inspect.unwrap(method)
    if (inspect.isfunction(plain) or inspect.ismethod(plain)) and inspect.iscoroutinefunction(plain) != waits:
        wanted = "must be async def" if waits else "must be a plain def, not async"
        raise ConfigError(f"{key}: {name} of {reference!r} {wanted} ({page})", **where(plain))


def failed(error: BaseException, what: str) -> ConfigError:
    """An error that says `what` and the exception of the user's code, with its innermost place outside libraries."""
    if isinstance(error, SyntaxError) and error.filename:
        return ConfigError(f"{what}: {type(error).__name__}: {error.msg}", file=error.filename, line=error.lineno)
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, SystemExit):
        said = "it ends the process (sys.exit); put what is to run alone under `if __name__ == '__main__'`"
    elif isinstance(error, ImportError):
        said = str(error)
    return ConfigError(f"{what}: {one_line(redact(said, None), LONGEST_REASON)}", **line_of_theirs(error))


def line_of_theirs(error: BaseException) -> dict[str, Any]:
    """The innermost file and line outside libraries that an exception came through, as arguments of an error; empty
    if there are none."""
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    return next(({"file": file, "line": line} for file, line in reversed(places) if is_theirs(file)), {})


def where(found: object) -> dict[str, Any]:
    """File and line of a class, a function or an object's class, as arguments of an error; empty for libraries."""
    thing: Any = found if inspect.isroutine(found) or isinstance(found, type) else type(found)
    try:
        file, line = inspect.getsourcefile(thing), inspect.getsourcelines(thing)[1]
    except (OSError, TypeError):
        return {}
    return {"file": file, "line": line} if file and is_theirs(file) else {}


def is_theirs(file: str) -> bool:
    """Whether a file of code is the user's, and not a library's or ours."""
    return not file.startswith("<") and not any(Path(file).is_relative_to(folder) for folder in LIBRARIES)


def _no_reference(module: str, name: str) -> str:
    """The fault of a reference that is clear before importing it; "" if there is none."""
    if module.startswith("."):
        return "it begins with a dot, but there is no package that it could be relative to"
    if module.endswith(".py") or "/" in module or "\\" in module:
        plain = module.removesuffix(".py").replace("\\", "/").strip("/").replace("/", ".")
        return f"it names a module and no file; write {plain}:{name or 'name'}"
    return "" if module and name else "write module:name"


def _no_name(module: ModuleType, name: str) -> str:
    near = difflib.get_close_matches(name, dir(module), 1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"{module.__name__} ({getattr(module, '__file__', None) or 'a built-in module'}) has no {name}{hint}"
