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
"""What Nova's records say of compute hosts, by Nova's own driver of heartbeats."""

import datetime
import unittest
from unittest import mock

from nova import objects
from nova.objects import service
from oslo_utils import timeutils

from migsafe.fencing.examine import Fleet
from migsafe.nova.clients import hosts


class TestHosts(unittest.TestCase):
    def setUp(self):
        super().setUp()
        objects.register_all()
        self.services = {}
        for owner, name, value in (
                (service.Service, 'get_by_compute_host',
                 lambda _context, host: self.services[host]),
                (service.ServiceList, 'get_by_binary', lambda *_args, **_more: list(
                    self.services.values()))):
            self.enterContext(mock.patch.object(owner, name, value))

    def host(self, name, ago, forced=False, since=9000):
        now = timeutils.utcnow(with_timezone=True)
        heard, changed = (now - datetime.timedelta(seconds=one) for one in (ago, since))
        self.services[name] = service.Service(
            host=name, binary='nova-compute', topic='compute', forced_down=forced,
            report_count=7, last_seen_up=heard, created_at=heard, updated_at=changed)

    def test_heard_of_late_whatever_was_said(self):
        for ago, forced, heard, up in ((5, True, True, False), (5, False, True, True),
                                       (62, True, True, False), (900, True, False, False),
                                       (900, False, False, False), (-900, True, True, False)):
            self.host('cn1', ago, forced)
            found = hosts.record('cn1')
            self.assertEqual((heard, up), (found.heard, found.up), (ago, forced))
            self.assertEqual((ago, 9000), (round(found.age), round(found.changed)))
            # what was asked for it has changed nothing
            self.assertIs(forced, self.services['cn1'].forced_down)

    def test_the_others(self):
        """Those that were forced down within the hour have fallen silent, too."""
        for name, *how in (('cn1', 5), ('cn2', 900), ('cn3', 900, True, 60),
                           ('cn4', 900, True, 9000), ('cn5', 5, True, 60), ('me', 5)):
            self.host(name, *how)
        self.assertEqual(Fleet(('cn1',), 2), hosts.fleet('me', 'gone'))
        self.assertEqual(Fleet(('cn1', 'me'), 1), hosts.fleet('cn2'))


if __name__ == '__main__':
    unittest.main()
