"""Code of the user's as a configuration holds it: `module:name`, with or without parameters, or a program's object.

In TOML it is `"mine:Exp3"` or `{ use = "mine:Exp3", gamma = 0.2 }`; a program may give the class, the function or an
instance. What can be imported again becomes its name, so that the run can go on in another process. What cannot (a
lambda, an instance, something of `__main__`) is kept as it is beside a label in angle brackets, which no module has.
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
"""The key of a table that names what the other keys are the parameters of."""
REMEDY = "put it into a module and name it module:name"


@dataclass(frozen=True, slots=True)
class Named:
    """`use`: a name of ours, `module:name`, or the label of an object without a name. `given`: that object, in the
    process that was given it. Two are equal if they are named alike and their parameters are the same JSON."""

    use: str
    parameters: Parameters = NOTHING_SET
    given: Any = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.use}{self.parameters.key}"

    @property
    def nameless(self) -> bool:
        """Whether no other process can find it."""
        return self.use.startswith("<")

    def dumped(self) -> str | dict[str, object]:
        """As TOML has it."""
        return {USE: self.use, **self.parameters.fields} if self.parameters.fields else self.use

    def found(self, key: str) -> Any:
        """The class, the function or the instance. `key`: what names it, for errors.

        :raises ConfigError: it cannot be imported, or is an object of another process.
        """
        if self.given is not None:
            return self.given
        if self.nameless:
            raise ConfigError(f"{key}: {self.use} is an object of the program that began the run; {REMEDY}")
        return imported(self.use, key)

    def made(self, key: str, arguments: Mapping[str, object], method: str = "") -> Any:
        """What the class or the function makes of `arguments`, given in their order, and of the parameters. An
        instance, which has `method`, stands for itself.

        :raises ConfigError: it cannot be found, takes others, or fails.
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
        """The same with a copy of an instance: whoever keeps a state begins every search as it was given.

        :raises ConfigError: it cannot be copied.
        """
        if self.given is None or isinstance(self.given, type) or inspect.isroutine(self.given):
            return self
        try:
            return replace(self, given=deepcopy(self.given))
        except Exception as error:
            raise ConfigError(f"{key}: {self.use} cannot be copied for a search ({error}); give its class") from None

    def function(self, key: str, *arguments: str) -> Callable[..., Any]:
        """A function of `arguments`, with the parameters as its keyword arguments; or an instance that can be called,
        which a class makes of the parameters.

        :raises ConfigError: it cannot be found, or takes others.
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
    """What a configuration or a program gives, as it is held.

    :raises ValueError: a table without `use`, parameters that JSON has not, or no such thing at all.
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
    """What an object without a name is called: its own `name`, or that of its class or function, and where a lambda
    stands."""
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
    """`module:name` if that imports this very object; "" if nothing does."""
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
