"""To which request a task belongs, and where it waits."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import anyio
import pytest

from asgiserver.watch import tasks


async def waiting(gate):
    await gate.wait()


async def in_gather(gate):
    await asyncio.gather(waiting(gate), waiting(gate))


async def in_group(gate):
    async with asyncio.TaskGroup() as group:
        group.create_task(waiting(gate))


async def in_anyio(gate):
    async with anyio.create_task_group() as group:
        group.start_soon(waiting, gate)


async def in_wait(gate):
    await asyncio.wait([asyncio.ensure_future(waiting(gate))])


async def in_wait_for(gate):
    await asyncio.wait_for(asyncio.ensure_future(waiting(gate)), 60)


async def in_shield(gate):
    await asyncio.shield(waiting(gate))


async def in_task(gate):
    await asyncio.ensure_future(waiting(gate))


async def nested(gate):
    async with anyio.create_task_group() as group:
        group.start_soon(in_gather, gate)


async def settle():
    for _ in range(30):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "way", [in_gather, in_group, in_anyio, in_wait, in_wait_for, in_shield, in_task, nested]
)
async def test_tasks_belong_to_the_request_that_waits_for_them(way):
    gate = asyncio.Event()
    session = SimpleNamespace(name="a session")
    root = asyncio.create_task(way(gate))
    stranger = asyncio.create_task(waiting(gate))
    await settle()
    every = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    running = {root: 1}
    groups, others = tasks.by_request(every, running)
    assert others == [stranger]
    assert len(groups[1]) == len(every) - 1 >= 2
    assert groups[1][0] is root
    assert any(tasks.chain(task)[0].function == "Event.wait" for task in groups[1][1:])
    gate.set()
    await root
    await stranger
    del session


async def test_a_circle_of_tasks_has_an_end():
    made = []

    async def wait_for(number):
        await settle()
        await asyncio.wait([made[number]])  # in a circle of plain awaits none can be cancelled

    made += [asyncio.create_task(wait_for(1)), asyncio.create_task(wait_for(0))]
    for _ in range(3):
        await settle()
    assert tasks.root_of(made[0], {}) is None
    for task in made:
        task.cancel()
    await asyncio.gather(*made, return_exceptions=True)


async def test_many_that_wait_for_one_have_an_end():
    """Each layer awaits all of the layer below, so the paths are many more than the tasks."""
    gate = asyncio.Event()
    layer = [asyncio.create_task(waiting(gate))]
    every = list(layer)
    for _ in range(12):

        async def gather(below=tuple(layer)):
            await asyncio.gather(*below)

        layer = [asyncio.create_task(gather()) for _ in range(8)]
        every += layer
    await settle()
    assert tasks.root_of(every[0], {}) is None
    assert tasks.root_of(every[-1], {layer[-1]: 1}) is layer[-1]
    gate.set()
    await asyncio.gather(*every)


async def test_a_chain_goes_through_async_generators_and_has_an_end():
    gate = asyncio.Event()

    async def numbers():
        await gate.wait()
        yield 1

    async def read():
        async for _ in numbers():
            pass

    async def deep(left):
        if left:
            await deep(left - 1)
        else:
            await gate.wait()

    reading, deeper = asyncio.create_task(read()), asyncio.create_task(deep(100))
    await settle()
    functions = [place.function.rpartition(".")[2] for place in tasks.chain(reading)]
    assert functions == ["wait", "numbers", "read"]
    places = tasks.chain(deeper)
    assert len(places) == tasks.MAX_DEPTH
    assert [place.function.rpartition(".")[2] for place in places[:2]] == ["wait", "deep"]
    gate.set()
    await asyncio.gather(reading, deeper)


class Lazy:
    """As proxies of frameworks: whatever is asked of it raises."""

    @property
    def __class__(self):
        raise RuntimeError("outside of its context")

    def __getattr__(self, name):
        raise RuntimeError("outside of its context")


async def test_objects_of_the_application_are_not_asked():
    gate, proxy = asyncio.Event(), Lazy()
    task = asyncio.create_task(waiting(gate))
    task.add_done_callback(lambda _: proxy)
    other = asyncio.create_task(waiting(gate))

    async def wait_for_both():
        await asyncio.wait([task, other])

    root = asyncio.create_task(wait_for_both())
    await settle()
    assert tasks.root_of(task, {root: 1}) is root
    gate.set()
    await root
