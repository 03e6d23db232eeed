"""One connection at work: the WebSocket, the delivery of events to observers, event loops and threads.

Imports only the root modules, `wire` and `protocol`.
"""
