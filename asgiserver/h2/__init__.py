"""HTTP/2 (RFC 9113): the codec without I/O, and the wire upon it."""
