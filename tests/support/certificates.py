"""Certificates for TLS servers of tests.  They sign themselves, and the key is known to everyone."""

from __future__ import annotations

import ssl
from pathlib import Path

_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg9YrGkJFjb+mY9uiZ
H8806OrpE4ZB4x81MvF93JSg3nmhRANCAAT32IrtGKG8MQmAsXNgm+jropdQ+S3g
CHKtBucPqzirc+fKWwYFCYPIIJ/VgF5k5wGjO7LIdPPgO/qqECigAW74
-----END PRIVATE KEY-----
"""

VALID = """\
-----BEGIN CERTIFICATE-----
MIIBuzCCAWGgAwIBAgIUD7DXbQVF+Ji7DiIbDKFz9m0kJ9MwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRcnhyZXNwb25zZXMgdGVzdHMwIBcNMDAwMTAxMDAwMDAwWhgP
MjE5OTAxMDEwMDAwMDBaMBwxGjAYBgNVBAMMEXJ4cmVzcG9uc2VzIHRlc3RzMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE99iK7RihvDEJgLFzYJvo66KXUPkt4Ahy
rQbnD6s4q3PnylsGBQmDyCCf1YBeZOcBozuyyHTz4Dv6qhAooAFu+KN/MH0wDwYD
VR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAoQwHQYDVR0OBBYEFCxvjjm6tMK2
Qfh9Fm2nBsOYR2uHMB8GA1UdIwQYMBaAFCxvjjm6tMK2Qfh9Fm2nBsOYR2uHMBoG
A1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAKBggqhkjOPQQDAgNIADBFAiEAvkKa
5REFnm+vroF6HZc6h+gnx38ScD1UPbCYRjBfbWUCIBFRIiwpPVwKGzGEJuZd2mBR
6mNen1PtmmMzWzCps1Tb
-----END CERTIFICATE-----
"""
"""For localhost and 127.0.0.1, until the year 2199."""

EXPIRED = """\
-----BEGIN CERTIFICATE-----
MIIBuDCCAV+gAwIBAgIUK5NtfTTGI07/sWrCKGtzgEQtA1gwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRcnhyZXNwb25zZXMgdGVzdHMwHhcNMDAwMTAxMDAwMDAwWhcN
MDEwMTAxMDAwMDAwWjAcMRowGAYDVQQDDBFyeHJlc3BvbnNlcyB0ZXN0czBZMBMG
ByqGSM49AgEGCCqGSM49AwEHA0IABPfYiu0YobwxCYCxc2Cb6Ouil1D5LeAIcq0G
5w+rOKtz58pbBgUJg8ggn9WAXmTnAaM7ssh08+A7+qoQKKABbvijfzB9MA8GA1Ud
EwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgKEMB0GA1UdDgQWBBQsb445urTCtkH4
fRZtpwbDmEdrhzAfBgNVHSMEGDAWgBQsb445urTCtkH4fRZtpwbDmEdrhzAaBgNV
HREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZIzj0EAwIDRwAwRAIgfY7ml3z7
aJc//hciWCanNY9tvyhl1ZZ8vQbtpOvou6oCIG5bGRWyn8aNSV4aJ/3baxo4tDxi
mcVJfTN8n1wicgxm
-----END CERTIFICATE-----
"""
"""The same, until the year 2001."""

ELSEWHERE = """\
-----BEGIN CERTIFICATE-----
MIIBvjCCAWSgAwIBAgIUfoPYuY125gsm3ANzVbLnuGxfbdkwCgYIKoZIzj0EAwIw
HDEaMBgGA1UEAwwRcnhyZXNwb25zZXMgdGVzdHMwIBcNMDAwMTAxMDAwMDAwWhgP
MjE5OTAxMDEwMDAwMDBaMBwxGjAYBgNVBAMMEXJ4cmVzcG9uc2VzIHRlc3RzMFkw
EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE99iK7RihvDEJgLFzYJvo66KXUPkt4Ahy
rQbnD6s4q3PnylsGBQmDyCCf1YBeZOcBozuyyHTz4Dv6qhAooAFu+KOBgTB/MA8G
A1UdEwEB/wQFMAMBAf8wDgYDVR0PAQH/BAQDAgKEMB0GA1UdDgQWBBQsb445urTC
tkH4fRZtpwbDmEdrhzAfBgNVHSMEGDAWgBQsb445urTCtkH4fRZtpwbDmEdrhzAc
BgNVHREEFTATghFlbHNld2hlcmUuZXhhbXBsZTAKBggqhkjOPQQDAgNIADBFAiEA
wtFpmd3kyjwml0gfl7EhAvgCQgUNFKNLmXv6U/DDhFoCIArqzjWzFM9bplfcOaQy
82/avIo/cSWh/LT0F+RqlAsp
-----END CERTIFICATE-----
"""
"""For elsewhere.example, until the year 2199."""


def server_context(folder: Path, certificate: str = VALID, *, wants_client: bool = False) -> ssl.SSLContext:
    """Return the context of a server with a certificate; with `wants_client` it refuses clients without one."""
    path = folder / "server.pem"
    path.write_text(_KEY + certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    if wants_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=VALID)
    return context


def trusting(certificate: str) -> ssl.SSLContext:
    """Return the context of a client that trusts a certificate, and no other."""
    return ssl.create_default_context(cadata=certificate)
