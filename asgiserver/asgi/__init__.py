"""ASGI semantics, once for every wire."""
