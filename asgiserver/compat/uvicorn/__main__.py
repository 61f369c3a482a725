"""``python -m uvicorn``, where the stand-in is installed."""

from asgiserver.compat.uvicorn.main import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
