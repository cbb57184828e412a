"""The embedded model: a small in-context learner in NumPy that needs no key and no network.

It has no weights. It reads lines, records and templates, embeds them as hashed character n-grams, attends from the
question to them, and can rewrite a text. All its knowledge comes from the messages of the request.
"""

from __future__ import annotations

from protocols.providers.embedded.model import EmbeddedModel

__all__ = ["EmbeddedModel"]
