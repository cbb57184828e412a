"""Wrappers around a model; each has the interface of the model inside it.

From the caller inwards: exchanges, parameters, room, reply cache, loading, retry, warming, temperature, ledger,
window, limiter, journal, adapter; `agents/models/stack.py` sets this order, and a test compares the two. Each waits
for less than those around it, and meanwhile holds nothing that others need: a call that waits for its next try, for
another call or for its budget holds no slot of the limiter, which other searches may share, and does not use its
rate; a call that waits for the limiter has its budget reserved, and is not counted yet. The ledger and the journal
are inside retry so that every attempt is counted. Actions for the moment when all waiting is over (the ledger counts
the call, the window checks it again) travel with the request, as `Request.sending`, so a call passes each wrapper
once.
"""
