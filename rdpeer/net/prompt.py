"""An event loop that calls those who pass messages on at once, without a turn of its own.

A turn of asyncio's loop costs more than to pass on a message. So a descriptor can
be watched by the selector itself. It calls whoever watches while the loop still
believes to wait, and comes back to the loop as soon as there is anything for it:
another descriptor, a timer, something that the one called has left. Nobody is
kept from his turn: each call does one piece of work.

Only epoll can wait for another selector, the one of all other descriptors, as for
one of its own. Elsewhere ``watch`` is asyncio's own ``add_reader``.
"""

from __future__ import annotations

import asyncio
import functools
import select
import selectors
import time
from collections.abc import Callable, Mapping
from typing import Any

_AT_ONCE = 32

Serve = Callable[[], bool]
"""Called when its descriptor is readable or broken: whether it has left nothing for the loop to do."""


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """For ``asyncio.Runner``: the prompt loop where the system has it, or None."""
    return PromptLoop if hasattr(select, "epoll") else None


def watch(descriptor: int, serve: Serve) -> Callable[[], object]:
    """Has the running loop call ``serve``, until what is returned is called; a second time does nothing.

    NotImplementedError from a loop that cannot watch sockets (Windows).
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, PromptLoop):
        loop.prompt.watch(descriptor, serve)
        return functools.partial(loop.prompt.unwatch, descriptor)
    loop.add_reader(descriptor, serve)
    return functools.partial(loop.remove_reader, descriptor)


class PromptLoop(asyncio.SelectorEventLoop):
    """asyncio's own, over a selector that serves."""

    def __init__(self) -> None:
        self.prompt = _PromptSelector()
        super().__init__(self.prompt)


class _PromptSelector(selectors.BaseSelector):
    def __init__(self) -> None:
        self._others = selectors.EpollSelector()
        self._epoll = select.epoll()
        self._epoll.register(self._others.fileno(), select.EPOLLIN)
        self._served: dict[int, Serve] = {}

    def watch(self, descriptor: int, serve: Serve) -> None:
        if descriptor not in self._served:
            self._epoll.register(descriptor, select.EPOLLIN)
        self._served[descriptor] = serve

    def unwatch(self, descriptor: int) -> None:
        if self._served.pop(descriptor, None):
            self._epoll.unregister(descriptor)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        try:
            self._serve(timeout)
        except Exception as error:
            # The loop tells, and goes on, as after any callback. Who was not called yet is, the next time.
            context = {"message": "Exception in one that watches a descriptor", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        return self._others.select(0)

    def _serve(self, timeout: float | None) -> None:
        """Waits and calls whom it concerns, until there is a reason to go back to the loop."""
        poll, served, clock = self._epoll.poll, self._served.get, time.monotonic
        end = None if timeout is None else clock() + timeout
        all_served = True
        while all_served and (events := poll(timeout, _AT_ONCE)):
            for descriptor, _ in events:
                serve = served(descriptor)
                if serve is None or not serve():
                    all_served = False
            if end is not None:
                timeout = end - clock()
                if timeout <= 0:
                    return

    # For the loop, as ever

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._others.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._others.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._others.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._others.get_map()

    def close(self) -> None:
        self._epoll.close()
        self._others.close()
