"""What users hold to send requests: `ResponsesWebSocket`, `ResponsesClient` and their lanes."""
