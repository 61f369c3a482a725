"""Static files in front of an application, as an ASGI application of its own."""
