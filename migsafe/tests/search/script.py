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
"""A schedule as text: one statement a line, in an order that does not matter but for equal times.

::

    armed A B C                  the hosts whose nova-compute has the plugin
    volumes 2
    reuse off                    freed LUN numbers are not given to others at once
    identity off                 devices do not say which disk they are
    skew B -300                  its clock
    at 40 migrate B              see requests.Requests
    message describe A B 2 lose  the 2nd describe of A to B; also lose-reply, delay S, twice S,
                                 lie WHAT (see faults.LIES); '-' is nova-api or the conductor
    step B journal 3 kill        its 3rd write; also crash, stall S, freeze S, fail
    transfer 1 fail 20           the first one, after 20 s
"""

import dataclasses

ARITY = {'armed': None, 'volumes': 1, 'reuse': 1, 'skew': 2}


class BadScript(ValueError):
    """A line is not understood; it says which one."""


@dataclasses.dataclass
class Script:
    """One schedule.

    :param lines: as written
    """

    lines: tuple[str, ...]
    armed: tuple[str, ...] = ('A', 'B', 'C')
    volumes: int = 1
    reuse: bool = True
    identity: bool = True
    skews: dict = dataclasses.field(default_factory=dict)
    events: list = dataclasses.field(default_factory=list)
    faults: dict = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for line in self.lines:
            try:
                self._read(*line.split())
            except (IndexError, TypeError, ValueError) as error:
                raise BadScript(f'{line!r} is not understood: {error}') from None
        self.events.sort(key=lambda event: event[0])

    def _read(self, word, *rest):
        if word == 'armed':
            self.armed = rest
        elif word == 'volumes':
            self.volumes = int(rest[0])
        elif word == 'reuse':
            self.reuse = rest[0] == 'on'
        elif word == 'identity':
            self.identity = rest[0] == 'on'
        elif word == 'skew':
            self.skews[rest[0]] = float(rest[1])
        elif word == 'at':
            self.events.append((float(rest[0]), rest[1], rest[2:]))
        elif word in ('message', 'step', 'transfer'):
            length = {'message': 4, 'step': 3, 'transfer': 1}[word]
            self.faults[(word, *rest[:length])] = (*rest[length:], '')[:2]
        else:
            raise ValueError('there is no such statement')

    @property
    def in_the_dark(self):
        """Whether a host may not know what it had, and its devices do not say what they are."""
        return not self.identity and any(
            name in ('restore', 'evacuate', 'arm', 'disarm') for _, name, _ in self.events)

    @property
    def longest(self):
        """Seconds of the longest delay in it."""
        waits = [float(fault[1]) for fault in self.faults.values()
                 if fault[0] in ('delay', 'twice', 'stall', 'freeze')]
        waits += [float(rest[-1]) for _, name, rest in self.events if name in ('freeze', 'cut')]
        return max(waits, default=0.0)

    def __str__(self):
        return '\n'.join(self.lines)


def parse(text):
    """The schedule in a text; what follows a # is a remark.

    :raises BadScript: names the line
    """
    lines = (line.partition('#')[0].strip() for line in text.splitlines())
    return Script(tuple(line for line in lines if line))
