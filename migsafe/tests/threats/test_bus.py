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
"""What arrives over the message bus: calls with any arguments, and answers of any shape."""

import contextlib
import inspect
import json
import types
import uuid
from unittest import mock

from hypothesis import given, strategies

from migsafe import exceptions
from migsafe.nova.bus import endpoint, peer
from migsafe.nova.host import release
from migsafe.preflight import path, report
from migsafe.tests.threats import examples, failing, values
from migsafe.tests.unit.nova import hosts
from migsafe.tests.unit.preflight import cases
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction import answers
from migsafe.watch import migration

METHODS = ('describe', 'guest_evidence', 'release', 'inspect', 'overview', 'preflight', 'inbound',
           'path', 'migrations', 'guest_facts', 'guests', 'surroundings')
#: Calls of the cloud that change nothing.
ASKING = ('attachments', 'connection_info', 'instance', 'moves', 'moving_to', 'volumes', 'paths',
          'find_directory', 'bindings', 'held', 'provider', 'evidence', 'peer.evidence',
          'peer.describe')
#: No answer is longer, whatever was asked.
LONGEST = 300_000


class TestCalls(hosts.TwoHosts):
    """Each call of the endpoint of nova-compute."""

    def setUp(self):
        super().setUp()
        self.break_off()
        self.endpoint = endpoint.Endpoint(self.dst.participant)

    def before(self):
        """What must stay as it is: the host's own migration, its devices, its attachments."""
        tx = self.dst.tx()
        changing = [call for host in (self.src, self.dst) for call in host.calls.made
                    if call[0] not in ASKING]
        return tx, self.dst.journal.records(tx), changing

    def check(self, method, arguments):
        before = self.before()
        try:
            found = getattr(self.endpoint, method)(None, **arguments)
        except exceptions.MigsafeError as error:
            self.assertLess(len(str(error)), LONGEST)
            self.assertNotIn('Traceback', str(error))
        else:
            self.assertLess(len(json.dumps(found)), LONGEST)
        self.assertEqual(before, self.before())

    @examples.settings()
    @given(values.ANYTHING)
    def test_guests(self, later):
        self.dst.participant.guests = lambda: ['x'] * 6000
        self.check('guests', {'later': later})

    @examples.settings()
    @given(values.UUIDS, strategies.dictionaries(
        strategies.sampled_from(('later', 'host', 'verdict2')), values.ANYTHING))
    def test_describe(self, name, later):
        self.check('describe', {'uuid': name, **later})

    @examples.settings()
    @given(values.UUIDS, values.ANYTHING)
    def test_inspect(self, name, later):
        self.check('inspect', {'uuid': name, 'later': later})

    @examples.settings()
    @given(strategies.dictionaries(
        strategies.sampled_from(('later', 'host', 'uuid')), values.ANYTHING))
    def test_overview(self, later):
        self.check('overview', later)

    @examples.settings()
    @given(values.UUIDS, values.ANYTHING)
    def test_preflight(self, instance, later):
        self.dst.participant.survey = lambda uuid: cases.made(
            'node11', cases.GUEST, residue=(uuid,))
        self.check('preflight', {'instance_uuid': instance, 'later': later})

    @examples.settings()
    @given(values.UUIDS, values.ANYTHING)
    def test_surroundings(self, instance, later):
        self.dst.participant.surroundings = lambda uuid: cases.around('node11')
        self.check('surroundings', {'instance_uuid': instance, 'later': later})

    @examples.settings()
    @given(strategies.dictionaries(
        strategies.sampled_from(('later', 'host', 'uuid')), values.ANYTHING))
    def test_inbound_and_migrations(self, later):
        one = migration.Migration('stuck', fake.MIGRATION, fake.INSTANCE, 'node11', 'destination',
                                  'node13', 'node11', 1.0, 'begun')
        self.dst.participant.watch = types.SimpleNamespace(latest=lambda: ([one] * 256, 2.0))
        self.check('inbound', later)
        self.check('migrations', later)

    @examples.settings()
    @given(values.UUIDS, values.ANYTHING, values.ANYTHING)
    def test_path(self, instance, destination, later):
        self.dst.participant.way = lambda uuid, host: path.Path(uuid, host)
        self.check('path', {'instance_uuid': instance, 'destination': destination,
                            'later': later})

    @examples.settings()
    @given(values.UUIDS, values.ANYTHING, values.ANYTHING)
    def test_guest_facts(self, instance, leads, later):
        self.dst.participant.guest_facts = lambda uuid, leads: {'evidence': uuid, 'disks': []}
        self.check('guest_facts', {'instance_uuid': instance, 'leads': leads, 'later': later})

    @examples.settings()
    @given(values.UUIDS, values.UUIDS)
    def test_guest_evidence(self, name, instance):
        self.check('guest_evidence', {'uuid': name, 'instance_uuid': instance})

    @examples.settings()
    @given(values.UUIDS, values.UUIDS, values.ANYTHING)
    def test_release(self, name, instance, verdict):
        self.check('release', {'uuid': name, 'instance_uuid': instance, 'verdict': verdict})

    @examples.settings()
    @given(values.ANYTHING, strategies.sampled_from(('ABORT', 'COMMIT', 'HOLD')))
    def test_release_of_the_migration_of_another_instance(self, instance, verdict):
        self.check('release', {'uuid': fake.MIGRATION, 'instance_uuid': instance,
                               'verdict': verdict})

    def test_every_method_is_here(self):
        public = [name for name in vars(endpoint.Endpoint) if not name.startswith('_')
                  and name != 'target']
        self.assertEqual(sorted(METHODS), sorted(public))

    def test_releases_of_what_nova_does_not_know_leave_nothing(self):
        before = len(self.dst.journal.list(limit=100))
        for name, instance, verdict in (
                (str(uuid.uuid4()), fake.INSTANCE, 'COMMIT'),
                (fake.MIGRATION[:-1] + '0', fake.INSTANCE, 'COMMIT'),
                (str(uuid.uuid4()), str(uuid.uuid4()), 'COMMIT'),
                (str(uuid.uuid4()), str(uuid.uuid4()), 'ABORT')):
            answer = self.endpoint.release(None, name, instance, verdict)
            self.assertEqual('refused', answer['state'])
            self.assertIn('Nova has no such live migration', answer['reason'])
        self.assertEqual(before, len(self.dst.journal.list(limit=100)))

    def test_releases_of_what_this_host_does_not_know_are_few(self):
        with mock.patch.object(release, 'TOMBSTONES', 5):
            answers = [self.endpoint.release(
                None, str(uuid.uuid4()), fake.INSTANCE, 'ABORT') for _ in range(9)]
        self.assertEqual(['refused'] * 4, [found['state'] for found in answers[5:]])
        self.assertIn('within an hour', answers[-1]['reason'])
        self.assertEqual(1 + 5, len(self.dst.journal.list(limit=100)))

    def test_neither_are_those_between_real_migrations(self):
        with mock.patch.object(release, 'TOMBSTONES', 5):
            for number in range(9):
                self.endpoint.release(None, str(uuid.uuid4()), fake.INSTANCE, 'ABORT')
                self.dst.journal.begin(f'real-{number}', 'source', 'i', 'node11', 'node13')
        self.assertEqual(1 + 5 + 9, len(self.dst.journal.list(limit=100)))


class TestFailures(hosts.TwoHosts):
    """What a call lets out when something behind it fails, as oslo.messaging logs it."""

    def test_each_call(self):
        asked = endpoint.Endpoint(self.dst.participant)
        given = {'uuid': fake.MIGRATION, 'instance_uuid': fake.INSTANCE, 'destination': 'node11'}
        # what a host says of its own options asks nobody
        for name in sorted({*METHODS} - {'release', 'inbound'}):
            method = getattr(asked, name)
            with self.subTest(name), mock.patch.object(asked, '_participant', failing.Failing()), \
                    self.assertRaises(exceptions.MigsafeError) as caught:
                method(None, **{key: value for key, value in given.items()
                                if key in inspect.signature(method).parameters})
            failing.check(self, caught.exception)
        with mock.patch.object(asked, '_participant', failing.Failing()):
            found = asked.release(None, fake.MIGRATION, fake.INSTANCE, 'ABORT')
        self.assertEqual('refused', found['state'])
        failing.check(self, ValueError(found['reason']))


class TestAnswers(hosts.TwoHosts):
    """Whatever the other host answers is understood, or is no answer."""

    @examples.settings()
    @given(values.ANYTHING)
    def test_of_any_shape(self, reply):
        answers.parse('node11', reply)
        peer.parse_description(reply)
        peer._ports(reply)
        with contextlib.suppress(report.NotUnderstood):
            report.read(report.Report, reply)
        self.assertIn(peer.parse_release(reply)['state'], ('done', 'busy', 'refused'))

    @examples.settings()
    @given(*[values.ANYTHING] * 4)
    def test_with_the_right_names(self, one, two, three, four):
        found = answers.parse('node11', {
            'host': 'node11', 'guest': one, 'job': two, 'boot_id': three, 'detail': four})
        self.assertLessEqual(len(found.detail), answers.MAX_TEXT)
        peer.parse_description({'known': True, 'live': one, 'state': two, 'attachments': three})
        peer.parse_release({'state': 'done', 'kept': one, 'reason': two})
