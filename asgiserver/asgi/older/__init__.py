"""Adapters that make ASGI 3 applications of WSGI and ASGI 2 applications."""
