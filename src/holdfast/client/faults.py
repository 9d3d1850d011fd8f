"""Tells failures of a connection that will never pass from those that may."""

from __future__ import annotations

import os
import socket
import ssl

from holdfast.client.errors import ConnectionFault

_PASSING = {socket.EAI_AGAIN, socket.EAI_MEMORY, socket.EAI_SYSTEM}
"""Errors of name resolution that may be gone in a moment."""
_CERTIFICATE_WORDS = ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")


def find_fault(error: OSError, *, is_connecting: bool) -> ConnectionFault | None:
    """Say why a connection can never work; None if it may work later.

    Args:
        error: What ended it, or the attempt to make it.
        is_connecting: Whether the TLS handshake was not done.
    """
    if isinstance(error, socket.gaierror):
        return None if error.errno in _PASSING else ConnectionFault.HOST_NOT_FOUND
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConnectionFault.SERVER_CERTIFICATE
    # An unexpected end is no answer of TLS.
    if not isinstance(error, ssl.SSLError) or isinstance(error, ssl.SSLEOFError | ssl.SSLSyscallError):
        return None
    reason = error.reason or ""
    # With TLS 1.3 the server looks at this side's certificate after this side's handshake is done.
    if "ALERT" in reason and any(word in reason for word in _CERTIFICATE_WORDS):
        return ConnectionFault.CLIENT_CERTIFICATE
    return ConnectionFault.TLS_NOT_SPOKEN if is_connecting else None


def describe_failure(error: OSError) -> str:
    """Put a failure of a connection into words."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the server's certificate is not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {(error.reason or str(error)).replace('_', ' ').lower()}"
    if error.errno is not None and not isinstance(error, socket.gaierror):
        # An event loop words it in its own way.
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__
