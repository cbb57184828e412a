"""Why a search has ended, where no cap of the run and no aim has ended it."""

from __future__ import annotations

ALLOWANCES = "the operators' own budgets"
"""Its operators may make no more calls: no cap of the run, which still has room."""
UNREAD = "no reply of the operators' models can be read"
"""All of its operators were given up for that."""
FLAWLESS = "nothing that failed is left to mend"
"""All of its operators mend what failed on training examples, where nothing did."""
UNEDITABLE = "no section left to edit"
"""Nothing that its operators could edit is left."""
INTERRUPTED = "interrupted"
"""A person has stopped it, and it goes on when it is begun again."""
ALL_MADE = "assignments"
"""All of its assignments were made, and have ended."""
