"""The rules of many connections: which request runs on which lane of which connection, and when.

Imports only the root modules, `wire` and `protocol`.  No Rx, no I/O, no threads, no clock: the caller passes the time.
"""
