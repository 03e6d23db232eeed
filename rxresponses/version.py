"""The version of the package, for the handshake, for telemetry and for `--version`."""

from __future__ import annotations


def installed_version() -> str:
    """Return the version of the installed package, and the empty string for a source tree that is not installed."""
    from importlib import metadata  # only when it is needed, because it takes a while

    try:
        return metadata.version("rxresponses")
    except metadata.PackageNotFoundError:
        return ""
