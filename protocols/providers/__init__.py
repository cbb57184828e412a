"""Adapters to model providers: they translate wire formats and classify failures."""
