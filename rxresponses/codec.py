"""Bytes to events and requests to bytes: the public names of the codec."""

from .wire.codec import decode, encode

__all__ = ["decode", "encode"]
