"""WebSocket (RFC 6455): the handshake and sans-I/O frame codecs."""
