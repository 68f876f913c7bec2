"""A certificate for 127.0.0.1 and localhost that only tests trust, made afresh."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Certificate(NamedTuple):
    """TLS for a server, and for a client that trusts it. `folder` has key.pem and certificate.pem."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    folder: Path

    def another_server(self) -> ssl.SSLContext:
        """For a second server, which agrees on a protocol of its own."""
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(self.folder / "certificate.pem", self.folder / "key.pem")
        return server

    def another_client(self) -> ssl.SSLContext:
        """For a client of another protocol: a context is told which to offer."""
        return ssl.create_default_context(cafile=str(self.folder / "certificate.pem"))


def make_certificate(folder: Path) -> Certificate:
    """Skips the test on a machine without openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl on this machine")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    argv = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    argv += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return Certificate(server, ssl.create_default_context(cafile=str(certificate)), folder)
