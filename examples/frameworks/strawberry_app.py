"""Strawberry: GraphQL with subscriptions over WebSocket, on FastAPI.

    asgiserver examples.frameworks.strawberry_app:app --workers 2

Open http://127.0.0.1:8000/graphql for its editor. A subscription stays with its worker; what all
workers should hear needs a broker outside of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import strawberry
from fastapi import FastAPI
from strawberry.fastapi import GraphQLRouter


@strawberry.type
class Query:
    @strawberry.field
    def greeting(self, name: str) -> str:
        """Say hello."""
        return f"Hello, {name}!"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, number: int) -> AsyncGenerator[int, None]:
        """Count to a number; 0 is for ever."""
        last = 0
        while last != number or number == 0:
            last += 1
            yield last
            await asyncio.sleep(0.01)


app = FastAPI()
app.include_router(
    GraphQLRouter(strawberry.Schema(Query, subscription=Subscription)), prefix="/graphql"
)
