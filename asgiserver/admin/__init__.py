"""The admin listener's application: health, figures, status and orders, for operators."""

THREAD = "asgiserver-admin"
"""The name of the thread that serves it."""
