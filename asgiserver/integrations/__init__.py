"""The server inside the programs of others: gunicorn, pytest."""
