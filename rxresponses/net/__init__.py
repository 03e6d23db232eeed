"""One connection at work: the WebSocket, event loops and threads, and the delivery of events to observers.

Imports only the root modules, `wire` and `protocol`.
"""
