"""The reasons for which a search ends, other than caps of the run and aims."""

from __future__ import annotations

from protocols.errors import cap_setting

ALLOWANCES = "the operators' own budgets"
"""Every operator has used up its own cap; the caps of the run still leave room."""
UNREAD = "no reply of the operators' models can be read"
"""All operators were given up for this reason."""
FLAWLESS = "nothing that failed is left to mend"
"""The remaining operators need failed training examples, and there are none."""
UNEDITABLE = "no section left to edit"
"""The operators can edit no section of any member."""
INTERRUPTED = "interrupted"
"""A person has stopped the search; it can be resumed."""
ALL_MADE = "assignments"
"""All assignments were made, and have ended."""


def end_in_words(stopped_by: str) -> str:
    """The end of a search as people say it, by its reason: `stopped by a person`, `all assignments were made`."""
    kind, colon, cap = stopped_by.partition(": ")
    if stopped_by == INTERRUPTED:
        return "stopped by a person"
    if stopped_by == ALL_MADE:
        return "all assignments were made"
    if kind == "budget":
        return f"stopped by the cap {cap_setting(cap)}" if colon else "stopped by a cap of the budget"
    if stopped_by in (UNREAD, FLAWLESS):
        return f"stopped, since {stopped_by}"
    return f"stopped, since there is {stopped_by}" if stopped_by == UNEDITABLE else f"stopped by {stopped_by}"
