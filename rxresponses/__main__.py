"""`python -m rxresponses`: the command line."""

from .cli.main import program

if __name__ == "__main__":
    raise SystemExit(program())
