"""Addresses and TLS, shared by client and server."""
