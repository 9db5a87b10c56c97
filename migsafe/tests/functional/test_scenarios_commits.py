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
"""How often a healthy migration waits for the disks of its hosts, and for what."""

from __future__ import annotations

import pathlib
import re

import fixtures

from migsafe.journal import store
from migsafe.tests.functional import scenarios
from migsafe.tests.functional.scenarios import DESTINATION, SOURCE

ATTACH, CONNECT = 'the intent of attachment_create', 'the intent of connect_volume'
_NUMBERS = re.compile(r' \d+(, \d+)*')


class TestCommits(scenarios.ScenarioTest):
    """Real ComputeManagers, and their journals."""

    def commits(self, **given):
        """(host, what) of each commit that a healthy migration waits for a disk with.

        """
        server, found, real = self.guest(**given), [], store.Store.write

        def write(self, what, work, *synced):
            done = real(self, what, work, *synced)
            if all(synced):
                found.append((pathlib.Path(self.path).stem, _NUMBERS.sub('', what)))
            return done
        with fixtures.MonkeyPatch('migsafe.journal.store.Store.write', write):
            self.migrate(server)
        self.assertEqual([DESTINATION], self.lab.observer(server).running_on())
        self.assertEqual([], self.residue(server))
        return found

    def test_four_and_two_a_volume(self):
        for volumes in (1, 2, 8):
            self.assertEqual(
                [(SOURCE, 'begin'), *[(DESTINATION, ATTACH)] * volumes,
                 *[(DESTINATION, CONNECT)] * volumes, (SOURCE, 'the verdict'),
                 (SOURCE, 'the outcome of intent'), (DESTINATION, 'the end')],
                self.commits(volumes=volumes), f'{volumes} volumes')
