"""The base of all tables of a configuration, and its values that name code: a built-in name, `module:name` with or
without parameters, or an object from Python; how they are read, and how they are written down."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, get_args

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationInfo,
    field_validator,
)

from protocols.files.named import USE, Named, as_named
from protocols.providers.parameters import secret

MOST = 1e12
"""Upper limit of numbers of seconds, dollars, tokens and so on without a range of their own: sums and products of
such numbers cannot overflow, and a larger one is a typing error."""
MOST_CALLS = 2**16
"""Most calls in flight that may be asked for."""
Positive = Annotated[float, Field(gt=0, le=MOST)]
Weight = Annotated[float, Field(gt=0, le=MOST)]
Amount = Annotated[float, Field(ge=0, le=MOST)]
Count = Annotated[int, Field(ge=1, le=int(MOST))]
Seed = Annotated[int, Field(ge=0)]


def variable(name: str) -> str:
    """:raises ValueError: it cannot be the name of an environment variable."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("give the name of the environment variable that holds the key, not the key")
    return name


class Table(BaseModel):
    """A table of the configuration: unknown keys are errors, values are not changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth(cls, value: object, field: ValidationInfo) -> object:
        """Refuse true and false for keys that are not booleans."""
        annotation = cls.model_fields[field.field_name or ""].annotation
        if isinstance(value, bool) and bool not in (annotation, *get_args(annotation)):
            raise ValueError(f"{str(value).lower()} is given where something else is expected")
        return value


def as_own(value: object) -> Named:
    """:raises ValueError: it names no code, or has a parameter that looks like a secret."""
    named = as_named(value)
    if path := secret(named.parameters.fields):
        raise ValueError(f"{path} looks like a secret, and settings are stored; let your code read a variable")
    return named


def dumped_own(value: object) -> object:
    """Its form in TOML."""
    return value.dumped() if isinstance(value, Named) else value


Own = Annotated[Named, PlainValidator(as_own), PlainSerializer(dumped_own)]
"""A built-in name, `module:name`, `{ use = "module:name", parameter = … }`, or, from Python, an object."""


def _weights(metric: object) -> object:
    """The weight of each metric: in a list its `weight`, or 1; a single metric has weight 1."""
    if isinstance(metric, list | tuple):
        listed = [(dict(one), one.get("weight", 1.0)) if isinstance(one, Mapping) else (one, 1.0) for one in metric]
        weights: dict[Named, object] = {}
        for one, weight in listed:
            named = as_own({k: v for k, v in one.items() if k != "weight"} if isinstance(one, dict) else one)
            if named in weights:
                raise ValueError(f"two are {named}")
            weights[named] = weight
        return weights
    if isinstance(metric, Mapping):
        return metric if isinstance(metric.get(USE, 1.0), int | float) else {as_own(metric): 1.0}
    return metric if metric is None or isinstance(metric, int | float) else {as_own(metric): 1.0}


def _dumped_weights(weights: Mapping[Named, float] | None) -> object:
    if weights is None or not any(named.parameters.fields for named in weights):
        return weights and {named.use: weight for named, weight in weights.items()}
    return [{USE: named.use, **named.parameters.fields, "weight": weight} for named, weight in weights.items()]


Weights = Annotated[
    Annotated[Mapping[Own, Weight], Field(min_length=1)] | None,
    BeforeValidator(_weights),
    PlainSerializer(_dumped_weights),
]


def _model(value: object) -> str | Named:
    """A model string, or a user's own model."""
    if value is None or isinstance(value, bool | int | float | bytes | list | tuple):
        one = "; of all models, only models.task may be a list" if isinstance(value, list | tuple) else ""
        raise ValueError(f"name one model, in quotes{one}")
    if isinstance(value, str):
        parts = [part.strip() for part in value.split(",")]
        if len(parts) > 1 and all("/" in part for part in parts):
            listed = ", ".join(f'"{part}"' for part in parts)
            raise ValueError(f"{value} is one text; write several models, for models.task alone, as [{listed}]")
        return value
    return as_own(value)


def _tabled(value: str | Named) -> object:
    return value if isinstance(value, str) else {USE: value.use, **value.parameters.fields}


Model = Annotated[str | Named, PlainValidator(_model), PlainSerializer(_tabled)]


def _models(value: object) -> str | Named | tuple[str | Named, ...]:
    """One model, or several."""
    if not isinstance(value, list | tuple):
        return _model(value)
    if any(isinstance(one, list | tuple) for one in value):
        raise ValueError("a list stands in the list; write the models one after the other")
    named = tuple(map(_model, value))
    if not named:
        raise ValueError("name a model, or several in a list")
    for place, one in enumerate(named):
        if one in named[:place]:
            raise ValueError(f"two are {one}")
    return named if len(named) > 1 else named[0]


def _tabled_each(value: str | Named | tuple[str | Named, ...]) -> object:
    return [*map(_tabled, value)] if isinstance(value, tuple) else _tabled(value)


Models = Annotated[str | Named | tuple[str | Named, ...], PlainValidator(_models), PlainSerializer(_tabled_each)]
"""A model, or a list of several different ones."""
