"""Limits of requests and tokens a minute, budgets, and prices: what may be sent, when, and what it costs.

Imports only the root modules and `wire`.  No Rx, no I/O, no clock: the caller passes the time.  Only `budget.py` has a
lock, because threads share a budget, and only `Prices.load` reads a file, which the program names.
"""
