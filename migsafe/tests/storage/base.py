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
"""What all storage tests need."""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any

import testtools
from testtools import content

from migsafe.tests.storage import vm

#: Seconds of the guest's clock in which a refusal must have come: os-brick's own takes a minute.
PROMPT = 10.0
#: Those of guest/cases.py that begin with a volume that is connected already.
CONNECTED = frozenset((
    'activated_again', 'array_down', 'detach', 'failed_connect', 'ghost', 'half_remapped',
    'here_before', 'incident_000', 'late_on_map', 'one_wwid', 'opened_late',
    'late_holder', 'neighbours', 'patrolled', 'remapped_while_attached', 'same_name', 'stale',
    'twice', 'two_volumes', 'unwanted_map', 'wrong_at_connect'))


@dataclasses.dataclass(frozen=True)
class Pair:
    """One scenario, done twice.

    :param bare: what os-brick did by itself: the control, which shows that the fault is real
    :param guarded: what it did with the guards
    """

    bare: dict[str, Any]
    guarded: dict[str, Any]

    def sides(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Both, for what must be the same."""
        return self.bare, self.guarded


@functools.cache
def _machine() -> vm.StorageVM:
    """One for all tests of this process: to ask APT for the kernel's version takes a second."""
    return vm.StorageVM()


class StorageTestCase(testtools.TestCase):
    """Runs each scenario in a virtual machine as good as new."""

    def setUp(self) -> None:
        super().setUp()
        self.vm = _machine()

    def both(self, case: str, **arguments: Any) -> Pair:
        """Run one of guest/cases.py without the guards and with them."""
        found = Pair(self.one(case, False, **arguments), self.one(case, True, **arguments))
        times = {side: {step: seen[step]['seconds'] for step in ('connect', 'detach', 'again')
                        if step in seen}
                 for side, seen in dataclasses.asdict(found).items()}
        self.addDetail(f'seconds of {case} by the clock of the guest',
                       content.text_content(json.dumps(times, indent=1)))
        return found

    def one(self, case: str, guarded: bool, policy: str = 'refuse',
            **arguments: Any) -> dict[str, Any]:
        """Run one scenario once.

        :param policy: ``[migsafe] holder_policy``
        """
        how: dict[str, Any] = {}
        preludes = [f'import cases\ncases.begin({guarded}, {policy!r})\n']
        volume = ''
        if case in CONNECTED:
            how = {name: arguments.pop(name) for name in ('protocol', 'multipath')
                   if name in arguments}
            if how.get('protocol') == 'NVMEOF':
                how['by_number'] = case != 'detach'
            preludes.append(f'volume = cases.connect(**{how!r})\n')
            volume = 'volume, '
        script = f'cases.main({case!r}, {volume}**{arguments!r})\n'
        # of the others there are few, for which it does not pay to save the guest
        often = 0 if policy != 'refuse' else 1 if how.get('protocol') == 'NVMEOF' else 2
        result = self.vm.run(''.join(preludes[often:]) + script, preludes[:often])
        side = 'guarded' if guarded else 'bare'
        self.addDetail(f'{side} {case}: output', content.text_content(result.stdout))
        self.assertEqual(0, result.rc, f'{case} did not come to its end')
        found: dict[str, Any] = json.loads(result.files['result.json'])
        self.addDetail(f'{side} {case}', content.text_content(json.dumps(found, indent=1)))
        return found

    # -- what may have come of it ---------------------------------------------------------------

    def assert_detached(self, found: dict[str, Any]) -> None:
        """It went without an error, and nothing is left."""
        self.assertEqual((None, {}, 0), (found['detach']['error'], found['after'],
                                         found['sessions']), found['detach']['message'])
        if 'leads' in found:
            leads = found['leads']['value']
            self.assertTrue(leads and set(leads) <= set(found['before']), found['leads'])
            self.assertEqual([], found['leads_after']['value'], found['leads_after'])

    def assert_kept(self, found: dict[str, Any], error: str = 'VolumeHeld') -> None:
        """It was refused at once, with all devices where they were."""
        self.assertEqual((error, found['before']), (found['detach']['error'], found['after']),
                         found['detach']['message'])
        self.assertLess(found['detach']['seconds'], PROMPT)

    def assert_refused(self, found: dict[str, Any], holder: str) -> None:
        """The same; what stands on it lives on, and once it is away the detach goes through."""
        self.assert_kept(found)
        self.assertIn(holder, found['detach']['message'])
        self.assertEqual(('ok', 'ok'), (found['usable'], found['usable_after']))
        self.assertIsNone(found['down']['error'], found['down']['message'])
        self.assertIsNone(found['again']['error'], found['again']['message'])
        self.assertEqual(({}, 0), (found['finally'], found['sessions_finally']))

    def assert_torn(self, found: dict[str, Any]) -> None:
        """It went through without a word, and what stood on it is dead."""
        self.assertIsNone(found['detach']['error'], found['detach']['message'])
        self.assertEqual('ok', found['usable'])
        self.assertNotEqual('ok', found['usable_after'])
