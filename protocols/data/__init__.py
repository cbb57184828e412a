"""Loads examples from files and the Hugging Face hub, and refuses data that would make scores meaningless."""

from protocols.data.adding import Added, add
from protocols.data.checks import all_labels, check_labels, check_splits, told_apart
from protocols.data.cutting import check_cut, cut
from protocols.data.formats import Format
from protocols.data.loading import Source, doubt_of_header, load_examples, raw_rows
from protocols.data.mapping import Fields

__all__ = [
    "Added",
    "Fields",
    "Format",
    "Source",
    "add",
    "all_labels",
    "check_cut",
    "check_labels",
    "check_splits",
    "cut",
    "doubt_of_header",
    "load_examples",
    "raw_rows",
    "told_apart",
]
