"""A user's own code in a configuration: `module:name`, with or without parameters, or an object from Python.

In TOML it is `"mine:Exp3"` or `{ use = "mine:Exp3", gamma = 0.2 }`; a program may give the class, the function or an
instance. An object that can be imported is replaced by its name, so that another process can resume the run. Any
other (a lambda, an instance, something of `__main__`) is kept, with a label in angle brackets, which no module has.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from protocols.errors import ConfigError
from protocols.files.own_code import check_takes, imported, made
from protocols.model import NOTHING_SET, Parameters

USE = "use"
"""The key of a table that names the class or function; the other keys are its parameters."""
REMEDY = "put it into a module and name it module:name"


@dataclass(frozen=True, slots=True)
class Named:
    """`use`: a built-in name, `module:name`, or the label of an object without a name. `given`: that object, None in
    other processes. Two are equal if their `use` and the JSON of their parameters are equal."""

    use: str
    parameters: Parameters = NOTHING_SET
    given: Any = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.use}{self.parameters.key}"

    @property
    def nameless(self) -> bool:
        """Whether it has no name by which another process could import it."""
        return self.use.startswith("<")

    def dumped(self) -> str | dict[str, object]:
        """Its form in TOML."""
        return {USE: self.use, **self.parameters.fields} if self.parameters.fields else self.use

    def found(self, key: str) -> Any:
        """The class, the function or the instance. `key`: the setting that names it, for errors.

        :raises ConfigError: it cannot be imported, or is an object of another process.
        """
        if self.given is not None:
            return self.given
        if self.nameless:
            raise ConfigError(f"{key}: {self.use} is an object of the program that began the run; {REMEDY}")
        return imported(self.use, key)

    def made(self, key: str, arguments: Mapping[str, object], method: str = "") -> Any:
        """Call the class or the function with `arguments`, in their order, and with the parameters. An instance,
        which has `method`, is returned as it is.

        :raises ConfigError: it cannot be found, takes other arguments, or fails.
        """
        found = self.found(key)
        if not isinstance(found, type) and method and hasattr(found, method):
            self._check_bare(key)
            return found
        if not callable(found):
            wanted = f"has no method {method}" if method else "is no function; give one that returns it"
            raise ConfigError(f"{key}: {self.use} {wanted}")
        return made(found, self.use, key, arguments, self.parameters.fields)

    def copied(self, key: str) -> Named:
        """The same, with an instance copied, so that each search begins with the state as given.

        :raises ConfigError: it cannot be copied.
        """
        if self.given is None or isinstance(self.given, type) or inspect.isroutine(self.given):
            return self
        try:
            return replace(self, given=deepcopy(self.given))
        except Exception as error:
            raise ConfigError(f"{key}: {self.use} cannot be copied for a search ({error}); give its class") from None

    def function(self, key: str, *arguments: str) -> Callable[..., Any]:
        """A function of `arguments`, with the parameters set as keyword arguments. A class is made with the
        parameters instead, and its instance is called.

        :raises ConfigError: it cannot be found, or takes other arguments.
        """
        found = self.found(key)
        parameters = self.parameters.fields
        if inspect.isclass(found):
            found, parameters = made(found, self.use, key, {}, parameters), {}
            if not callable(found):
                wanted = ", ".join(arguments)
                raise ConfigError(f"{key} {self.use!r} is a class without __call__; give a function of {wanted}")
        elif not callable(found):
            raise ConfigError(f"{key}: {self.use} is no function; give one of {', '.join(arguments)}")
        check_takes(found, self.use, key, *arguments, **parameters)
        return partial(found, **parameters) if parameters else found

    def _check_bare(self, key: str) -> None:
        if self.parameters.fields:
            raise ConfigError(f"{key}: {self.use} is an instance and takes no parameters; give its class")


def as_named(value: object) -> Named:
    """The `Named` for a value in a configuration or from Python.

    :raises ValueError: a table lacks `use`, parameters cannot be written as JSON, or the value is of another type.
    """
    match value:
        case Named():
            return value
        case str():
            return Named(value)
        case Mapping():
            return _with_parameters(value)
        case None | bool() | int() | float() | bytes() | list() | tuple() | set():
            raise ValueError('give "module:name", or a table { use = "module:name", … }')
        case partial(func=made, args=(), keywords=keywords) if _is_json(keywords):
            return _with_parameters({**keywords, USE: made})
    name = _name(value)
    return Named(name) if name else Named(label(value), given=value)


def label(thing: object) -> str:
    """The label of an object without a name: the name of the function, its own `name`, or its class; for a lambda,
    its line and file."""
    called = getattr(thing, "__name__", None) or getattr(thing, "name", None)
    if called == "<lambda>":
        code: Any = getattr(thing, "__code__", None)
        return f"<lambda in line {code.co_firstlineno} of {Path(code.co_filename).name}>"
    return f"<{called if isinstance(called, str) and called.isprintable() else type(thing).__name__}>"


def _with_parameters(table: Mapping[Any, object]) -> Named:
    parameters = {name: inner for name, inner in table.items() if name != USE}
    if USE not in table:
        raise ValueError('a table needs use = "module:name"')
    if not _is_json(parameters):
        raise ValueError("parameters are texts, finite numbers, true, false, lists and tables of these")
    inner = as_named(table[USE])
    return replace(inner, parameters=Parameters({**inner.parameters.fields, **parameters}))


def _name(thing: object) -> str:
    """`module:name` if importing that gives this very object, else ""."""
    module, name = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
    if not (isinstance(module, str) and isinstance(name, str)) or module == "__main__":
        return ""
    return f"{module}:{name}" if getattr(sys.modules.get(module), name, None) is thing else ""


def _is_json(value: object) -> bool:
    match value:
        case None | bool() | str():
            return True
        case int():
            return -(2**63) <= value < 2**63
        case float():
            return value - value == 0.0
        case list() | tuple():
            return all(map(_is_json, value))
        case Mapping():
            return all(isinstance(name, str) and _is_json(inner) for name, inner in value.items())
    return False
