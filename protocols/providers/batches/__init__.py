"""Batches of calls at half the price, in the providers' wire formats."""
