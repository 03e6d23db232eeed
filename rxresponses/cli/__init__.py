"""The command line: `main` parses the arguments and returns the exit code, and each command is a module."""
