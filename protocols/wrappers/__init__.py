"""What stands around a model: each wrapper has the interface of the model inside it.

From the caller inwards: parameters, room, reply cache, loading, retry, warming, temperature, ledger, window,
limiter, journal, adapter; `agents/models/stack.py` says so, and a test holds this to it. Each waits for less than
those around it, and holds nothing that others need meanwhile: a call that waits for its next try, for another call
or for its budget holds no slot of the limiter, which other searches may share, and is not in its pace; a call that
waits for the limiter has its budget set aside, and is no call yet. The ledger and the journal are inside retry so
that every attempt counts. What must be done once all waiting is over (the ledger counts, the window looks again)
goes along with the request, as `Request.sending`: so a call passes each wrapper once.
"""
