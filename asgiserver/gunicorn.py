"""The public path of the worker class: ``gunicorn -k asgiserver.gunicorn.Worker main:app``."""

from asgiserver.integrations.gunicorn import Worker as Worker

__all__ = ["Worker"]
