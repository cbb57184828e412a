"""Everything that speaks a provider's wire format."""
