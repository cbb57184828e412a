"""What stands around a model: each wrapper has the interface of the model inside it.

From the caller inwards: parameters (asking.py), room, reply cache (memory/storage/cache.py), loading, retry, warming,
temperature, ledger, limiter, window, journal (memory/journals/recorded.py), adapter. Each waits for less than those
around it, and holds nothing that others need meanwhile: a call that waits for its next try, for another call or for
its budget holds no slot of the limiter, which other searches may share, and is not in its pace; a call that waits for
the limiter has its budget set aside, and is no call yet. The ledger and the journal are inside retry so that every
attempt counts.
"""
