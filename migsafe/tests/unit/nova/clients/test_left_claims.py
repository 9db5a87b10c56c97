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
"""Which migrations are looked at for claims that were left, and how Nova is asked for them."""

import datetime
import types
from unittest import mock

import testtools
from nova import objects
from oslo_serialization import jsonutils
from oslo_utils import timeutils

from migsafe.nova.clients import left_claims

HOST, OTHER = 'cmp1', 'cmp2'


class TestLeftClaims(testtools.TestCase):
    """Pages of Nova's records; each migration is of an instance that is on the other host."""

    def setUp(self):
        super().setUp()
        objects.register_all()
        self.asked = []
        self.rows = []
        for target, answer in ((objects.MigrationList, self.migrations),
                               (objects.InstanceList, self.instances)):
            patch = mock.patch.object(target, 'get_by_filters', side_effect=answer)
            patch.start()
            self.addCleanup(patch.stop)

    def migrations(self, _context, filters, **how):
        """The answer of a conductor, which gets everything as JSON."""
        self.assertEqual(filters, jsonutils.loads(jsonutils.dumps(filters)))
        self.asked.append((how['sort_dirs'], how['marker']))
        newest = sorted(self.rows, key=lambda one: -one.id)
        after = [one.uuid for one in newest].index(how['marker']) + 1 if how['marker'] else 0
        return newest[after:after + how['limit']]

    def instances(self, _context, filters, **_how):
        """Each is on the other host."""
        return [types.SimpleNamespace(uuid=uuid, host=OTHER) for uuid in filters['uuid']]

    def row(self, number, **age):
        """A migration to the other host that has come to its end."""
        at = timeutils.utcnow(with_timezone=True) - datetime.timedelta(**age)
        self.rows.append(types.SimpleNamespace(
            id=number, uuid=f'm-{number}', instance_uuid=f'i-{number}', status='completed',
            dest_compute=OTHER, created_at=at, updated_at=at))

    def all(self):
        """The ids of all pages."""
        claims, found = left_claims.LeftClaims(), []
        while not claims.over:
            found += [one.migration_id for one in claims.page(HOST, lambda _uuid: True)]
            claims.done()
        return found

    def test_only_recent_ones(self):
        self.row(1, days=8)
        self.row(2, days=6)
        self.assertEqual([2], self.all())

    def test_pages_end_with_what_is_old(self):
        count = left_claims.PAGE
        for number in range(3 * count):
            self.row(number, **({'days': 8} if number < 2 * count - 5 else {'days': 1}))
        self.assertEqual(list(range(3 * count - 1, 2 * count - 6, -1)), self.all())
        self.assertEqual([(['desc'], marker) for marker in
                          (None, f'm-{2 * count}', f'm-{count}')], self.asked)

    def test_one_that_began_long_ago_and_ended_lately(self):
        self.row(1, days=9)
        self.rows[0].updated_at += datetime.timedelta(days=8)
        self.row(2, days=6)
        self.rows[1].updated_at = None
        self.assertEqual([2, 1], self.all())

    def test_nothing(self):
        self.assertEqual([], self.all())
