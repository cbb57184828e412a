"""Leases: processes that use one account share its limits, and a quota divides them."""
