"""Applications of older interfaces, WSGI and ASGI 2, as ASGI 3."""
