"""Exports prompts to files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from agents.directory.run_directory import make_folder, write
from agents.exports.formats import Export, Format, write_as
from agents.exports.source import open_prompts
from protocols.errors import ConfigError
from protocols.text import file_name


def export_to(source: Path, form: Format, out: Path | None, fields: Sequence[str], fixed_examples: bool) -> Export:
    """Export to `out`: a file, or a folder for several files; None: to no file. The export's files are named as they
    are written.

    :raises InputError: the prompt cannot be exported so, or a file is there already; nothing is written.
    :raises StorageFailed: a file cannot be written.
    """
    prompts, remarks = open_prompts(source, fields)
    one = len(prompts) == 1
    folder, stem = _place(out, one and form != "promptfoo")
    exports = [write_as(form, each, stem or file_name(each.name), fixed_examples) for each in prompts]
    files = {name: text for export in exports for name, text in export.files.items()}
    remarks += list(dict.fromkeys(remark for export in exports for remark in export.remarks))
    if out is None:
        if len(files) > 1:
            raise ConfigError(f"this export is {len(files)} files ({', '.join(files)}): name a folder with --out")
        return Export(files, remarks)
    placed = {out if stem else folder / name: text for name, text in files.items()}
    if there := [path for path in placed if path.exists()]:
        raise ConfigError(f"{there[0]} is there already: name another place with --out, or delete it")
    make_folder(folder)
    for path, text in placed.items():
        write(path, text.encode("utf-8"))
    return Export({str(path): text for path, text in placed.items()}, remarks)


def _place(out: Path | None, one_file: bool) -> tuple[Path, str]:
    """The folder, and the name of the only file without its suffix; "" where the files are named by us."""
    if out is None:
        return Path(), ""
    return (out.parent, out.stem) if one_file and not out.is_dir() else (out, "")
