"""Recordings: files of JSON lines with what was sent and received, and when.  Written, read and replayed here."""
