# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""Virtual time: tasks that run one at a time, in an order that is the same each time.

A task is a greenlet. It gives way only where the model says so (:meth:`Loop.sleep`), so that
nothing races, and no second of a time-out is waited for.
"""

import contextvars
import heapq
import itertools

import greenlet


class Killed(BaseException):
    """The process of a task has been killed: nothing that it does has an effect any more."""


class Stuck(Exception):
    """A schedule does not come to an end."""


class Life:
    """One process of nova-compute, from its start to its end.

    :param host: its name
    """

    def __init__(self, host):
        self.host, self.dead, self.tasks = host, False, set()
        #: until then it does nothing at all: stopped, swapped out, its file system hanging
        self.frozen = 0.0
        self.locks = {}


class Task(greenlet.greenlet):
    """Something that happens beside other things.

    :param life: the process that it is part of, None for the world outside
    """

    def __init__(self, loop, work, life, name):
        super().__init__(work, loop.hub)
        self.gr_context = contextvars.Context()
        self.life, self.name, self.waking, self.done = life, name, 0, Event(loop)
        if life:
            life.tasks.add(self)


class Loop:
    """Runs tasks in the order of their times; ties go to who asked first."""

    #: More than any schedule needs that comes to an end.
    MOST = 60000

    def __init__(self):
        self.now, self.steps, self.errors = 0.0, 0, []
        self.hub = greenlet.getcurrent()
        self._heap, self._order = [], itertools.count()
        self.after = lambda: None

    @property
    def current(self):
        """The task that runs now, None outside of all."""
        found = greenlet.getcurrent()
        return found if isinstance(found, Task) else None

    @property
    def life(self):
        """The process that acts now, None for the world."""
        task = self.current
        return task.life if task else None

    def spawn(self, work, life=None, name='', delay=0.0):
        """Have something done."""
        task = Task(self, lambda: self._do(task, work), life, name)
        self._wake(task, delay)
        return task

    def _do(self, task, work):
        try:
            work()
        except Killed:
            pass
        except Exception as error:
            self.errors.append((task.name, error))
        finally:
            if task.life:
                task.life.tasks.discard(task)
            task.done.set()

    def _wake(self, task, delay):
        task.waking += 1
        heapq.heappush(self._heap, (self.now + delay, next(self._order), task.waking, task))

    def sleep(self, seconds):
        """Let others go first, and time pass."""
        task = self.current
        if task is None:
            return
        self._wake(task, seconds)
        self._give_way(task)

    def _give_way(self, task):
        self.hub.switch()
        if task.life and task.life.dead:
            raise Killed

    def wait(self, waiters, timeout=None):
        """Wait in line until somebody wakes this task; False after a time-out."""
        task = self.current
        waiters.append(task)
        if timeout is not None:
            self._wake(task, timeout)
        self._give_way(task)
        if task in waiters:
            waiters.remove(task)
            return False
        return True

    def wake(self, waiters, count=None):
        """Wake those who wait."""
        for task in list(waiters)[:count]:
            waiters.remove(task)
            self._wake(task, 0)

    def check(self):
        """Stop the task of a process that is dead."""
        life = self.life
        if life and life.dead:
            raise Killed

    def kill(self, life):
        """End a process where it is; what it holds in memory is gone."""
        life.dead = True
        for task in tuple(life.tasks):
            if task is not self.current:
                self._wake(task, 0)
        self.check()

    def run(self, until):
        """Go on until a time, or until nothing is left to happen."""
        while self._heap and self._heap[0][0] <= until:
            moment, _, waking, task = heapq.heappop(self._heap)
            if waking != task.waking or task.dead:
                continue
            self.now = max(self.now, moment)
            if task.life and self.now < task.life.frozen and not task.life.dead:
                heapq.heappush(self._heap, (task.life.frozen, next(self._order), waking, task))
                continue
            self.steps += 1
            if self.steps > self.MOST:
                raise Stuck(f'{self.steps} steps, the last of {task.name}')
            if task.life and task.life.dead and not task:
                continue
            task.switch()
            self.after()
        self.now = max(self.now, until)

    def clear(self):
        """End every task that is left."""
        for _, _, _, task in self._heap:
            if task and not task.dead:
                task.throw(Killed)
        self._heap.clear()


class Event:
    """As threading.Event."""

    def __init__(self, loop):
        self._loop, self._set, self._waiters = loop, False, []

    def set(self):
        self._set = True
        self._loop.wake(self._waiters)

    def clear(self):
        self._set = False

    def is_set(self):
        return self._set

    def wait(self, timeout=None):
        if not self._set and self._loop.current:
            self._loop.wait(self._waiters, timeout)
        return self._set


class Lock:
    """As threading.Lock."""

    def __init__(self, loop):
        self._loop, self._held, self._waiters = loop, False, []

    def acquire(self, blocking=True, timeout=-1):
        end = None if timeout is None or timeout < 0 else self._loop.now + timeout
        while self._held:
            if not blocking or self._loop.current is None:
                return False
            left = None if end is None else end - self._loop.now
            if (left is not None and left <= 0) or not self._loop.wait(self._waiters, left):
                return False
        self._held = True
        return True

    def release(self):
        self._held = False
        self._loop.wake(self._waiters, 1)

    def locked(self):
        return self._held

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, *_):
        self.release()


class Condition:
    """As threading.Condition; nobody comes between, so that its lock is no more than a word."""

    def __init__(self, loop):
        self._loop, self._waiters = loop, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def wait(self, timeout=None):
        return self._loop.wait(self._waiters, timeout)

    def wait_for(self, predicate, timeout=None):
        while not predicate():
            if not self._loop.wait(self._waiters, timeout):
                return predicate()
        return True

    def notify_all(self):
        self._loop.wake(self._waiters)

    notify = notify_all


class Thread:
    """As threading.Thread; it is part of the process that starts it."""

    def __init__(self, loop, target=None, args=(), kwargs=None, name='', daemon=None):
        self._loop, self.name, self._task = loop, name, None
        self._work = lambda: target(*args, **(kwargs or {}))

    def start(self):
        self._task = self._loop.spawn(self._work, self._loop.life, self.name)

    def join(self, timeout=None):
        if self._task:
            self._task.done.wait(timeout)

    def is_alive(self):
        return self._task is not None and not self._task.dead
