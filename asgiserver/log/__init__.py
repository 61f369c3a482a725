"""The server's own log and the access log."""
