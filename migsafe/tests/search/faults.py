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
"""What befalls which message, which step of which host, and which transfer."""

import dataclasses

#: What a peer says that is not so, or not so any more, by the question.
LIES = {'describe': {
    'COMMIT': {'known': True, 'live': False, 'state': 'open', 'verdict': 'COMMIT'},
    'COMMIT-settled': {'known': True, 'live': False, 'state': 'settled', 'verdict': 'COMMIT'},
    'ABORT': {'known': True, 'live': False, 'state': 'open', 'verdict': 'ABORT'},
    'ABORT-settled': {'known': True, 'live': False, 'state': 'settled', 'verdict': 'ABORT'},
    'unknown': {'known': False, 'live': False, 'state': '', 'verdict': ''},
    'odd': {'known': 'maybe', 'state': 'half-done'},
}, 'guest_evidence': {
    'odd': {'guest': 'teleporting'},
    'busy': {'job': True},
    'rebooted': {'rebooted': True, 'boot_id': 'another'},
    'unknown': {'guest': 'unknown', 'job': False},
    'here': {'guest': 'here', 'job': False},
    'absent': {'guest': 'absent', 'job': False},
    'shut_off': {'guest': 'shut_off', 'job': False},
    'handed_over': {'guest': 'handed_over', 'job': False},
    'in_transfer': {'guest': 'in_transfer', 'job': False},
}, 'release': {
    'odd': {'state': 'half-done'},
    'busy': {'state': 'busy', 'reason': 'at work'},
    'refused': {'state': 'refused', 'reason': 'no'},
    'no-account': {'state': 'done', 'kept': 'nothing'},
}}


@dataclasses.dataclass
class Fault:
    """Of one message."""

    kind: str = ''
    argument: str = ''

    @property
    def seconds(self):
        return float(self.argument or 0)

    def lie(self, method, result):
        """The answer that is given instead."""
        if self.kind != 'lie' or not isinstance(result, dict):
            return result
        return {**result, **LIES[method.removeprefix('migsafe.')][self.argument]}


class Faults:
    """Those of one schedule; each is for the n-th of its kind, so that it stays where it was when
    other lines of the schedule are taken out.

    :param script: the schedule
    """

    def __init__(self, script):
        self._script, self._counts, self.fired = script, {}, []
        self.off = False

    def _next(self, *key):
        self._counts[key] = self._counts.get(key, 0) + 1
        return self._counts[key]

    def _find(self, *key):
        number = self._next(*key)
        found = None if self.off else self._script.faults.get((*key, str(number)))
        if found:
            self.fired.append((*key, number))
        return found

    def message(self, method, source, dest):
        """What befalls the next message of this kind."""
        name = method.removeprefix('migsafe.')
        found = self._find('message', name, source or '-', dest)
        return Fault(*found) if found else Fault()

    def step(self, host, name):
        """What befalls the next step of this name on a host: () or (kind, argument)."""
        return self._find('step', host, name) or ()

    def transfer(self):
        """How the next transfer ends, and after how many seconds."""
        found = self._find('transfer')
        return (found[0], float(found[1])) if found else ('ok', 20.0)
