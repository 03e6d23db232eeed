"""Many requests from a file: one a line, their results to another file, resumable at any moment."""
