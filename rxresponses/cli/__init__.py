"""The command line `rxresponses`: one module a command."""
