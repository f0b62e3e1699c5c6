"""The program of ``listen --exec``: a child whose standard input and output are the stream.

Its end is its own: what it wrote until then is read, and nothing is waited for that a background
grandchild might still write, though that may hold the pipe open for ever. Nor is a program that has
closed its output taken for ended: it may still read, and its exit status is still to come.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import Process as Child
from collections.abc import Mapping, Sequence
from typing import Self

from rdpeer.net.pipe import ReaderGone
from rdpeer.net.stdio import FdSink, FdSource

_SIGNAL_STATUS = 128
_GRACE = 5.0


class Process:
    """A running program: ``async with await Process.start(argv, environment) as process``.

    Left while the program runs, its process group gets SIGHUP, and after ``grace`` seconds SIGKILL.
    """

    ends_with_peer = False

    def __init__(self, child: Child, output: int, input_: int, grace: float) -> None:
        self._child = child
        self._grace = grace
        self._output = FdSource(output)
        self._input = FdSink(input_, shared=False)
        self._exit = asyncio.create_task(child.wait())

    @classmethod
    async def start(
        cls, argv: Sequence[str], environment: Mapping[str, str], *, grace: float = _GRACE
    ) -> Self:
        """Starts ``argv`` without a shell, in a session and process group of its own, with our stderr.

        Raises OSError where there is no such program, or where it cannot be run.
        """
        child_in, input_ = os.pipe()
        output, child_out = os.pipe()
        try:
            child = await asyncio.create_subprocess_exec(
                *argv, stdin=child_in, stdout=child_out, env=environment, start_new_session=True
            )
        except BaseException:
            os.close(input_)
            os.close(output)
            raise
        finally:
            os.close(child_in)
            os.close(child_out)
        return cls(child, output, input_, grace)

    async def read(self, limit: int) -> bytes:
        """As :meth:`Source.read`. The end: of the output, or of the program, whichever comes first."""
        data = self._output.read_now(limit)
        if data is not None:
            return data
        reading = asyncio.create_task(self._output.read(limit))
        try:
            await asyncio.wait({reading, self._exit}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                return reading.result()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        return self._output.read_now(limit) or b""

    async def status(self) -> int:
        """As :meth:`Source.status`; waits for the program's end."""
        code = await asyncio.shield(self._exit)
        return code if code >= 0 else _SIGNAL_STATUS - code

    def close(self) -> None:
        """As :meth:`Source.close`: the program's next write fails."""
        self._output.close()

    async def write(self, chunks: Sequence[memoryview]) -> None:
        """As :meth:`Sink.write`: into the program's pipe; ReaderGone when it has closed that."""
        try:
            await self._input.write(chunks)
        except BrokenPipeError:
            raise ReaderGone from None

    def write_now(self, chunk: memoryview) -> memoryview:
        """As :meth:`Sink.write_now`."""
        return self._input.write_now(chunk)

    async def finish(self) -> None:
        """As :meth:`Sink.finish`: the program reads the end of its input."""
        await self._input.finish()

    def abort(self) -> None:
        """As :meth:`Sink.abort`. The program is told by SIGHUP instead, when the process is left."""
        self._input.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()
        self.abort()
        if not self._exit.done():
            self._hang_up()
            await asyncio.wait({self._exit}, timeout=self._grace)
        if not self._exit.done():
            self._kill()
        await self._exit

    def _hang_up(self) -> None:
        if sys.platform == "win32":
            self._child.terminate()
        else:
            self._signal_group(signal.SIGHUP)

    def _kill(self) -> None:
        if sys.platform == "win32":
            self._child.kill()
        else:
            self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it ended, and we are about to be told
            os.killpg(self._child.pid, number)
