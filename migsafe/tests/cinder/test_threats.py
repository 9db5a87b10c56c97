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
"""Every call of the endpoint of cinder-volume, with hostile arguments."""

import inspect
import json
from unittest import mock

from hypothesis import given, strategies

from migsafe import exceptions
from migsafe.cinder.bus import endpoint
from migsafe.cinder.facts import writers
from migsafe.tests.cinder import world
from migsafe.tests.threats import examples, failing, values

LONGEST = 300_000
NAMED = strategies.one_of(values.UUIDS, strategies.sampled_from(('node13', 'node11')))


class TestCalls(world.World):
    """The volume of an instance on node13 stays as it is, whatever is asked."""

    def setUp(self):
        super().setUp()
        self.attach(self.reserve(), world.NODE13)
        self.endpoint = endpoint.Endpoint(self.guard)

    def check(self, method, **arguments):
        before = self.array.exports()
        try:
            found = getattr(self.endpoint, method)(None, **arguments)
        except (exceptions.MigsafeError, ValueError, TypeError) as error:
            self.assertLess(len(str(error)), LONGEST)
        else:
            self.assertLess(len(json.dumps(found)), LONGEST)
        self.assertEqual(before, self.array.exports())
        self.assertEqual('mapped', next(
            row.state for row in self.guard.ledger.exports() if row.host == 'node13'))

    @examples.settings(30)
    @given(values.ANYTHING, values.ANYTHING, NAMED)
    def test_list(self, after, volume, host):
        self.check('export_list', after_id=after, volume=volume, host=host)

    @examples.settings(30)
    @given(values.ANYTHING)
    def test_verify(self, volume):
        self.check('export_verify', volume=volume)

    @examples.settings(30)
    @given(values.ANYTHING)
    def test_search(self, walk):
        self.check('export_search', walk=walk)

    @examples.settings(30)
    @given(values.ANYTHING, NAMED, values.ANYTHING)
    def test_take_up(self, volume, host, initiator):
        self.check('export_take_up', volume=volume, host=host, initiator=initiator)

    @examples.settings(30)
    @given(NAMED, NAMED, values.ANYTHING)
    def test_revert(self, volume, host, not_mapped):
        """Also of the volume itself: its attachment has the export."""
        self.check('export_revert', volume=volume, host=host, not_mapped=not_mapped)
        self.check('export_revert', volume=self.volume.id, host=host, not_mapped=not_mapped)

    @examples.settings(30)
    @given(values.ANYTHING, values.ANYTHING, strategies.lists(values.ANYTHING, max_size=3))
    def test_fence(self, host, user, volumes):
        self.check('export_fence', host=host, user=user, volumes=volumes)

    @examples.settings(30)
    @given(values.ANYTHING, values.ANYTHING, values.ANYTHING)
    def test_adopt(self, after, carry_out, user):
        self.check('export_adopt', after=after, carry_out=carry_out, user=user)

    @examples.settings(30)
    @given(values.ANYTHING, values.ANYTHING)
    def test_unfence(self, host, user):
        self.check('export_unfence', host=host, user=user)

    @examples.settings(30)
    @given(values.ANYTHING)
    def test_open(self, host):
        self.check('export_open', host=host)

    @examples.settings(30)
    @given(values.ANYTHING, values.ANYTHING, strategies.lists(values.ANYTHING, max_size=3))
    def test_cut(self, host, user, volumes):
        self.check('export_cut', host=host, user=user, volumes=volumes)

    def test_what_fails_behind_it_is_not_told(self):
        """As oslo.messaging logs it, with all that is chained to it."""
        given = {'volume': self.volume.id, 'host': 'node13', 'user': 'alice', 'initiator': 'iqn.x',
                 'walk': '', 'after': '', 'volumes': [self.volume.id]}
        for name in dir(endpoint.Endpoint):
            if not name.startswith('export_'):
                continue
            with self.subTest(name), mock.patch.multiple(
                    self.endpoint, _guard=failing.Failing(), _walks=failing.Failing()):
                method = getattr(self.endpoint, name)
                error = self.assertRaises(exceptions.MigsafeError, method, None, **{
                    key: value for key, value in given.items()
                    if key in inspect.signature(method).parameters})
                failing.check(self, error)

    def test_an_error_that_is_not_made_from_a_text(self):
        with mock.patch.object(self.endpoint, '_guard') as guard:
            guard.ledger.of.side_effect = writers.SecondWriter(
                [], volume=self.volume.id, host='node13', backend='node@array')
            error = self.assertRaises(exceptions.MigsafeError, self.endpoint.export_list, None,
                                      volume=self.volume.id)
        self.assertIn(self.volume.id, str(error))

    def test_every_method_is_here(self):
        public = {name for name in dir(endpoint.Endpoint) if name.startswith('export_')}
        tested = {f'export_{name.removeprefix("test_")}' for name in dir(self)
                  if name.startswith('test_')}
        self.assertEqual(set(), public - tested)
