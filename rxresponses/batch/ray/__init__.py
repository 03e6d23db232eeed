"""Requests from the workers of a Ray cluster, with the extra `ray`.

`ResponsesStage` is a stage of Ray Data, and `SharedGate` has the limits and the budget of all workers.
"""

from .gate import SharedGate as SharedGate
from .lost import GateLostError as GateLostError
from .lost import WorkerLostError as WorkerLostError
from .stage import ResponsesStage as ResponsesStage

__all__ = ["GateLostError", "ResponsesStage", "SharedGate", "WorkerLostError"]
