"""The TCP protocol without a socket: wire forms, handshake, the server's session, the client's session."""
