"""The Responses API over WebSocket, as RxPY Observables."""
