"""The rules of one connection: which request may be sent, and which request an event belongs to.

Imports only the root modules and `wire`.  No Rx, no I/O, no threads, no clock: the caller passes the time.
"""
