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
"""What a kill or a power cut can leave of a recorded run, and what the service says to it."""

import collections
import hashlib
import os
import random
import tempfile
from collections.abc import Container, Iterator, Sequence

from migsafe import exceptions
from migsafe.journal import whole
from migsafe.tests.durability import disk, library
from migsafe.tests.durability.workloads import FILE, STATE, Subject

Place = tuple[int, int]
Tree = dict[str, bytes | None]
#: How many drawn power cuts there are for each operation, beside those that leave all and nothing.
DRAWN = 4


def places(events: Sequence[library.Event], drawn: int = DRAWN) -> Iterator[Place]:
    """Give what states there are: the number of an operation, and of a state after it."""
    for number, event in enumerate(events):
        if event.what != library.MARK:
            # NOTE: the first is a write that is cut short, and the second the kill.
            for which in range(0 if event.what == library.WRITE else 1, drawn + 4):
                yield number, which


def states(events: Sequence[library.Event], top: str, seed: str,
           chosen: Container[Place]) -> Iterator[tuple[str, int, Tree]]:
    """Give some states: a name, how many calls had returned, the files.

    :param chosen: some of :func:`places`
    """
    held, returned = disk.Disk(top), -1
    for number, event in enumerate(events):
        if event.what == library.MARK:
            returned += 1
            continue
        torn = (number, 0) in chosen
        before = held.after_kill() if torn else {}
        held.do(event)
        if torn:
            yield f'{number}-torn', returned, _partly(
                before, held.after_kill(), random.Random(f'{seed}-{number}'))
        if (number, 1) in chosen:
            yield f'{number}-kill', returned, held.after_kill()
        for which in range(2, DRAWN + 4):
            if (number, which) in chosen:
                dice = random.Random(f'{seed}-{number}-{which}')
                share = {2: 0.0, 3: 1.0}.get(which, dice.random())
                yield f'{number}-power cut-{which}', returned, held.after_power_cut(dice, share)


def _partly(before: Tree, after: Tree, dice: random.Random) -> Tree:
    """A write that a kill has cut short."""
    found = dict(after)
    for path, content in after.items():
        old = before.get(path)
        if content is not None and old is not None and content != old:
            at = dice.randrange(max(len(content), 1))
            longer = max(len(old), at)
            found[path] = (content[:at] + old[at:])[:longer]
    return found


class Checker:
    """Opens states by the real code, and compares what is there with what was asked for.

    :param subject: whose they are
    """

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.counts: collections.Counter[str] = collections.Counter()
        self.wrong: list[str] = []
        self._seen: dict[bytes, str] = {}
        # at once, and not each beginning by itself
        subject.expected(tuple(range(len(subject.calls))))

    def check(self, name: str, returned: int, top: str, tree: Tree) -> None:
        """Look at one state.

        :param returned: how many calls have; -1 while it was being opened for the first time
        """
        calls = range(len(self.subject.calls))
        done = tuple(calls[:max(returned, 0)])
        allowed = [done]
        if 0 <= returned < len(calls):
            allowed.append((*done, returned))
        digest = hashlib.sha256(repr((returned, sorted(tree.items()))).encode()).digest()
        kind = name.split('-')[1]
        self.counts[kind] += 1
        if digest not in self._seen:
            self.counts['different'] += 1
            self._seen[digest] = self._look(top, tree, allowed)
        if self._seen[digest]:
            self.wrong.append(f'{self.subject.name} {name} after {returned}: '
                              f'{self._seen[digest]}')

    def _look(self, top: str, tree: Tree, allowed: Sequence[tuple[int, ...]]) -> str:
        with tempfile.TemporaryDirectory() as place:
            for path, content in sorted(tree.items()):
                _put(place + path.removeprefix(top), content)
            # NOTE: the index is what the kernel has of it; the first one to open makes it anew.
            file = os.path.join(place, STATE, FILE)
            if os.path.exists(f'{file}-wal'):
                _put(f'{file}-shm', b'\x55' * 32768)
            return self.opened(place, allowed)

    def opened(self, top: str, allowed: Sequence[tuple[int, ...]]) -> str:
        """Open what is below ``top``; return what is wrong with it.

        :param allowed: what may have been done
        """
        try:
            opened = self.subject.open(top)
        except exceptions.JournalError as error:
            return f'refused: {error}'
        try:
            found = self.subject.content(opened)
            self.subject.touch(opened)
            whole.check(os.path.join(top, STATE, FILE))
        except exceptions.JournalError as error:
            return f'opened, but: {error}'
        finally:
            opened.close()
        if any(found == self.subject.expected(done) for done in allowed):
            return ''
        return f'lost or made up: {_difference(found, self.subject.expected(allowed[0]))}'


def _difference(found, wanted) -> str:
    return ', '.join(f'{table}: {len(found[table])} rows for {len(wanted[table])}'
                     for table in wanted if found[table] != wanted[table])


def _put(path: str, content: bytes | None) -> None:
    if content is None:
        os.mkdir(path, 0o700)
        return
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'wb') as file:
        file.write(content)


def sample(all_of: Sequence[Place], count: int, seed: str) -> Sequence[Place]:
    """Some of them; all if ``count`` is 0."""
    return random.Random(seed).sample(all_of, count) if 0 < count < len(all_of) else all_of
