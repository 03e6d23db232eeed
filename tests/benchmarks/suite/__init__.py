"""The benchmark suite: this library against other clients of the same server, in rounds that alternate.

`python -m tests.benchmarks` runs it.  The clients are the programs in `peers/`, each in a process of its own.
"""
