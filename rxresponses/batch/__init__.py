"""A file of requests, one a line, and a file of their results; a run that was stopped or killed can be resumed."""
