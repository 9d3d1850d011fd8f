"""Streams: the library, the session, the protocol."""
