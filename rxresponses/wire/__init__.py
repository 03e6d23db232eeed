"""What goes over the wire: the dataclasses of events, models and requests, and the codec.

Imports only the root modules.  No Rx, no I/O, no threads, no clock.
"""
