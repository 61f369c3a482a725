"""HTTP vocabulary (RFC 9110): pure functions and values, no I/O, shared by every wire."""
