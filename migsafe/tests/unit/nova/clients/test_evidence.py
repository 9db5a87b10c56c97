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
import itertools
import types
import unittest
from unittest import mock

from nova.virt.libvirt import host as libvirt_host

from migsafe.journal.records import Transaction
from migsafe.nova.clients import evidence
from migsafe.transaction import evidence as transaction_evidence

G = transaction_evidence.GuestState
#: virDomainState and the reasons of libvirt 8.5 and later, by number; see
#: include/libvirt/libvirt-domain.h.
STATES = {
    'NOSTATE': (0, range(1)),
    'RUNNING': (1, range(12)),
    'BLOCKED': (2, range(1)),
    'PAUSED': (3, range(15)),
    'SHUTDOWN': (4, range(3)),
    'SHUTOFF': (5, range(9)),
    'CRASHED': (6, range(2)),
    'PMSUSPENDED': (7, range(1)),
}
POSTCOPY = {(1, 10), (1, 11), (3, 12), (3, 13)}
IN_TRANSFER = {(3, 2), (3, 11)}


class TestGuestState(unittest.TestCase):
    def test_every_state_and_reason(self):
        for name, (state, reasons) in STATES.items():
            for reason in reasons:
                with self.subTest(state=name, reason=reason):
                    found = evidence.guest_state(state, reason)
                    pair = (state, reason)
                    self.assertEqual(name == 'NOSTATE', found is G.UNKNOWN)
                    self.assertEqual(pair in POSTCOPY, found is G.POSTCOPY)
                    self.assertEqual(pair in IN_TRANSFER,
                                     found is G.IN_TRANSFER)
                    self.assertEqual(pair == (5, 4), found is G.HANDED_OVER)
                    self.assertEqual(name == 'SHUTOFF' and reason != 4,
                                     found is G.SHUT_OFF)

    def test_only_a_domain_without_qemu_may_lose_its_devices(self):
        for state, reason in itertools.product(range(-2, 20), range(-2, 30)):
            if state != 5:
                self.assertNotIn(evidence.guest_state(state, reason),
                                 transaction_evidence.NO_QEMU, (state, reason))

    def test_states_that_nobody_knows_yet(self):
        for state in (-1, 8, 9, 99):
            self.assertIs(G.UNKNOWN, evidence.guest_state(state, 0))

    def test_dead_never_comes_from_libvirt(self):
        self.assertNotIn(G.DEAD, evidence.STATES.values())

    def test_a_domain_is_never_no_domain(self):
        self.assertNotIn(G.ABSENT, evidence.STATES.values())


class LibvirtError(Exception):
    def __init__(self, code):
        super().__init__(f'code {code}')
        self.get_error_code = lambda: code


class TestGuests(unittest.TestCase):
    def setUp(self):
        self.domain = types.SimpleNamespace(
            state=lambda flags: [1, 1], jobStats=lambda: {'type': 0})
        self.lookup = lambda uuid: self.domain
        patch = mock.patch.object(libvirt_host, 'libvirt', types.SimpleNamespace(
            VIR_ERR_NO_DOMAIN=42, VIR_ERR_OPERATION_INVALID=55,
            VIR_ERR_OPERATION_UNSUPPORTED=84))
        patch.start()
        self.addCleanup(patch.stop)

    def guests(self):
        connection = types.SimpleNamespace(
            lookupByUUIDString=lambda uuid: self.lookup(uuid))
        host = types.SimpleNamespace(get_connection=lambda: connection)
        return evidence.Guests(types.SimpleNamespace(
            host='node11', driver=types.SimpleNamespace(_host=host)))

    def evidence(self):
        return self.guests().evidence('uuid')

    def test_stopped_by_a_migration_that_is_over(self):
        for name, (state, reasons) in STATES.items():
            for reason in reasons:
                self.domain.state = lambda flags, pair=[state, reason]: pair
                self.assertEqual((state, reason) in {(3, 2), (3, 14)},
                                 self.guests().stopped('uuid'), (name, reason))
        self.domain.state = lambda flags: [3, 2]
        self.domain.jobStats = lambda: {'type': 2}
        self.assertFalse(self.guests().stopped('uuid'))
        # a copy that is coming in
        self.refuse(84)
        self.assertRaises(LibvirtError, self.guests().stopped, 'uuid')

    def test_stopped_without_a_domain(self):
        def lookup(uuid):
            raise LibvirtError(42)
        self.lookup = lookup
        self.assertFalse(self.guests().stopped('uuid'))

    def test_running(self):
        found = self.evidence()
        self.assertEqual(('node11', G.HERE, False),
                         (found.host, found.guest, found.job))
        self.assertEqual(evidence.boot_id(), found.boot_id)

    def test_jobs(self):
        for kind, active in ((0, False), (1, True), (2, True), (3, False),
                             (4, False), (5, False)):
            self.domain.jobStats = lambda kind=kind: {'type': kind}
            self.assertIs(active, self.evidence().job)

    def refuse(self, code):
        """As libvirt does of a domain that is shut off, or coming in."""
        def refuse():
            raise LibvirtError(code)
        self.domain.jobStats = refuse

    def test_shut_off_domain_has_no_job_to_ask_for(self):
        self.refuse(55)
        for reason in STATES['SHUTOFF'][1]:
            self.domain.state = lambda flags, reason=reason: [5, reason]
            found = self.evidence()
            self.assertEqual(
                (G.HANDED_OVER if reason == 4 else G.SHUT_OFF, False),
                (found.guest, found.job))

    def test_domain_whose_job_only_the_source_knows(self):
        for code, (name, (state, reasons)) in itertools.product(
                (55, 84), STATES.items()):
            if name == 'SHUTOFF':
                continue
            self.refuse(code)
            for reason in reasons:
                with self.subTest(code=code, state=name, reason=reason):
                    self.domain.state = lambda flags, pair=[state, reason]: \
                        pair
                    found = self.evidence()
                    self.assertIs(evidence.guest_state(state, reason),
                                  found.guest)
                    # An incoming copy's job is for its source to tell.
                    self.assertIs((state, reason) not in IN_TRANSFER,
                                  found.job)

    def test_other_errors_of_the_job_are_unknown(self):
        for code in (0, 1, 38, 42, 68, None):
            self.refuse(code)
            self.assertIs(G.UNKNOWN, self.evidence().guest)

    def fail(self, error):
        def lookup(uuid):
            raise error
        self.lookup = lookup
        return self.evidence().guest

    def test_no_domain_is_the_only_error_that_means_absent(self):
        self.assertIs(G.ABSENT, self.fail(LibvirtError(42)))
        for error in (LibvirtError(38), LibvirtError(1), OSError('gone'),
                      RuntimeError(), KeyError('x')):
            self.assertIs(G.UNKNOWN, self.fail(error))

    def test_domain_that_vanishes_between_two_calls_is_unknown(self):
        for name in ('state', 'jobStats'):
            def gone(*args):
                raise LibvirtError(42)
            setattr(self.domain, name, gone)
            self.assertIs(G.UNKNOWN, self.evidence().guest)

    def test_nonsense(self):
        for state in ([], None, ['1', '1'], [None, None]):
            self.domain.state = lambda flags, state=state: state
            self.assertIs(G.UNKNOWN, self.evidence().guest)
        self.domain.state = lambda flags: [1, 1]
        self.domain.jobStats = lambda: {}
        self.assertIs(G.UNKNOWN, self.evidence().guest)

    def test_rebooted_since(self):
        for role, then, now, expected in (
                ('source', 'a', 'a', False), ('source', 'a', 'b', True),
                ('destination', 'a', 'a', False),
                ('destination', 'a', 'b', True),
                ('source', None, 'b', None), ('source', 'a', None, None),
                ('destination', '', 'b', None)):
            mine = f'{"dest" if role == "destination" else role}_boot_id'
            boots = {'source_boot_id': 'other', 'dest_boot_id': 'other'}
            tx = Transaction(
                id=1, uuid='u', host='h', role=role, instance_uuid='i',
                source_host='s', dest_host='d', **boots | {mine: then})
            self.assertIs(expected, transaction_evidence.rebooted(tx, now))
        self.assertIsNone(transaction_evidence.rebooted(None, 'a'))

    def test_kernel_that_does_not_say_its_boot(self):
        with mock.patch.object(evidence, 'BOOT_ID', '/no/such/file'):
            self.assertIsNone(evidence.boot_id())
