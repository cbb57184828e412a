"""The reasons for which a search ends, other than caps of the run and aims."""

from __future__ import annotations

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
