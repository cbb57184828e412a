"""What stands around a model: each wrapper has the interface of the model inside it.

From the caller inwards: reply cache (memory/cache.py), retry, warming, limiter, ledger, adapter. Retry and warming
are outside the limiter so that a call that waits for its next try, or for another call, holds no slot, and the ledger
is innermost so that every attempt counts.
"""
