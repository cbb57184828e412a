"""Examples from files and from the Hugging Face hub, and the refusal of what would make a score meaningless."""

from protocols.data.checks import check_labels, check_splits
from protocols.data.cutting import cut
from protocols.data.loading import Format, Source, load_examples
from protocols.data.mapping import Fields

__all__ = ["Fields", "Format", "Source", "check_labels", "check_splits", "cut", "load_examples"]
