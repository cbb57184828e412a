"""What servers answer: failures, refusals, figures, and headers on the account's limits."""
