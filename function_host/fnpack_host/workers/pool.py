"""Gives calls to workers, oldest first, replaces a worker that ends, and ends one whose call runs too long."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Mapping

from fnpack_host.errors import WorkerStartError
from fnpack_host.worker.protocol import Frame
from fnpack_host.workers.process import Call, WorkerLost, WorkerProcess

log = logging.getLogger("fnpack.host.worker")

PIPELINE_S = (
    0.002  # calls wait inside a worker for about this long at most; the rest wait here, for any worker
)
MAX_PIPELINE = 64
MAX_OVERLAPPING = 1000  # calls at once in a worker whose run is async
RESTART_DELAYS_S = (0.0, 0.5, 1, 2, 5, 10, 30)


class WorkerPool:
    """`count` worker processes for one app, which they load from `start_facts` (FunctionApp.start_facts)."""

    def __init__(
        self,
        start_facts: Mapping[str, object],
        environ: Mapping[str, str],
        *,
        count: int = 1,
        timeout_s: float | None = None,
    ) -> None:
        self._start_facts, self._environ, self._count, self._timeout_s = (
            start_facts,
            environ,
            count,
            timeout_s,
        )
        self._workers: list[WorkerProcess] = []
        self._retiring: list[WorkerProcess] = []  # get no new calls
        self._waiting: deque[Call] = deque()
        self._mean_s = 0.01  # running mean of a call's duration
        self._stopping = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self.restarts = 0

    async def start(self) -> None:
        """Start all workers. Raises WorkerStartError when one does not come up."""
        self._employ(await self._spawn_all())
        if self._timeout_s is not None:
            self._background(self._watch(self._timeout_s))

    @property
    def started_facts(self) -> Mapping[str, object]:
        """What a worker has said of the app when it was up: `functions` of a v2 app, `errors` by function."""
        return next((worker.started_facts for worker in self._workers), {})

    @property
    def pending(self) -> int:
        """Calls that have no answer yet."""
        return len(self._waiting) + sum(len(worker.calls) for worker in [*self._workers, *self._retiring])

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers that are up."""
        return [worker.pid for worker in self._workers]

    async def call(self, function: str, facts: Mapping[str, object], payload: bytes | memoryview) -> Frame:
        """Run `function` in a worker and return its RESULT frame. Raises InvocationError or WorkerLost."""
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self.submit(Call(function, facts, payload, answer))
        return await answer

    def submit(self, call: Call) -> None:
        """Have a worker run `call`, whose answer is set before long."""
        self._waiting.append(call)
        self._dispatch()

    async def stop(self) -> None:
        """Wait for nothing: end all workers, letting running calls finish within the workers' own grace."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(worker.stop() for worker in [*self._workers, *self._retiring]))
        self._workers.clear()
        for call in self._waiting:
            if not call.answer.done():
                call.answer.set_exception(WorkerLost(f"the host stopped before it ran {call.function}"))
        self._waiting.clear()

    async def restart(self) -> None:
        """Start fresh workers, give them all further calls, and end the old ones when theirs are answered.

        Raises WorkerStartError when a fresh one does not come up; the old ones then go on.
        """
        fresh = await self._spawn_all()
        old, self._workers = self._workers, []
        self._employ(fresh)
        self._retiring += old
        self._dispatch()
        for worker in old:
            self._background(self._retire(worker))

    async def drain(self, grace_s: float) -> bool:
        """Wait until no call is pending, at most `grace_s` seconds; says whether that was reached."""
        deadline = time.monotonic() + grace_s
        while self.pending and time.monotonic() < deadline:
            self._idle.clear()
            try:
                await asyncio.wait_for(self._idle.wait(), max(0.0, deadline - time.monotonic()))
            except asyncio.TimeoutError:
                break
        return not self.pending

    def _dispatch(self) -> None:
        while self._waiting:
            worker = min(self._workers, key=lambda w: len(w.calls), default=None)
            if worker is None or len(worker.calls) >= self._limit(worker):
                return
            call = self._waiting.popleft()
            if not call.answer.done():  # its caller may have gone away
                worker.send(call)

    def _limit(self, worker: WorkerProcess) -> int:
        if worker.overlapping:
            return MAX_OVERLAPPING
        return 1 + min(MAX_PIPELINE, int(PIPELINE_S / max(self._mean_s, 1e-6)))

    def _answered(self, duration_s: float) -> None:
        self._mean_s += 0.1 * (duration_s - self._mean_s)
        self._dispatch()
        if not self.pending:
            self._idle.set()

    def _new(self) -> WorkerProcess:
        worker = WorkerProcess(self._start_facts, self._environ, self._ended)
        worker.on_answer = self._answered
        return worker

    async def _spawn_all(self) -> list[WorkerProcess]:
        """`count` workers that are up; where one does not come up, none is left running."""
        workers = [self._new() for _ in range(self._count)]
        loading: list[asyncio.Future[None]] = []
        try:
            for worker in workers:  # before anything is awaited: they boot while the caller goes on
                worker.spawn()
            loading = [asyncio.ensure_future(worker.load()) for worker in workers]
            await asyncio.gather(*loading)
        except BaseException:
            for task in loading:
                task.cancel()
            await asyncio.gather(*loading, return_exceptions=True)
            await asyncio.gather(*(worker.stop() for worker in workers))
            raise
        return workers

    def _employ(self, workers: Iterable[WorkerProcess]) -> None:
        """Give calls to `workers` from now on; one that has ended since it came up is replaced."""
        for worker in workers:
            if worker.is_up:
                self._workers.append(worker)
            else:
                self._lost(worker)

    def _lost(self, worker: WorkerProcess) -> None:
        """Put another in the worker's place. Its process may live on when user code closed the socket."""
        if self._stopping:
            return
        log.error("worker %s ended unexpectedly; starting another", worker.pid)
        worker.kill()
        self._background(worker.stop())
        self._background(self._replace())

    def _ended(self, worker: WorkerProcess) -> None:
        """Fail what ran in the lost worker, keep what had only been sent, and start another."""
        running = worker.running()
        behind = [call for call in worker.calls.values() if call not in running]
        worker.calls.clear()
        self._waiting.extendleft(reversed(behind))
        for call in running:
            if not call.answer.done():
                call.answer.set_exception(
                    WorkerLost(f"the worker process ended while it ran {call.function}")
                )
        if worker in self._workers:
            self._workers.remove(worker)
            self._lost(worker)
        if not self.pending:
            self._idle.set()

    async def _replace(self) -> None:
        for attempt in range(10**9):
            await asyncio.sleep(RESTART_DELAYS_S[min(attempt, len(RESTART_DELAYS_S) - 1)])
            try:
                worker = self._new()
                await worker.start()
            except WorkerStartError as error:
                log.error("%s", error)
                continue
            self.restarts += 1
            self._employ([worker])
            self._dispatch()
            return

    async def _watch(self, timeout_s: float) -> None:
        while True:
            await asyncio.sleep(min(1.0, timeout_s / 4))
            now = time.monotonic()
            for worker in self._workers:
                late = [call for call in worker.running() if now - call.started > timeout_s]
                if late:
                    log.error(
                        "%s ran longer than functionTimeout (%g s); its worker is replaced",
                        late[0].function,
                        timeout_s,
                    )
                    worker.kill()

    async def _retire(self, worker: WorkerProcess) -> None:
        deadline = time.monotonic() + (self._timeout_s or float("inf"))
        while worker.calls and time.monotonic() < deadline:  # noqa: ASYNC110 - its calls end one by one
            await asyncio.sleep(0.05)
        await worker.stop()
        self._retiring.remove(worker)

    def _background(self, work: Coroutine[None, None, None]) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
