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
"""What a host is taken for that an operator declared dead."""

import dataclasses
import itertools
import types
import unittest

from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction import verdict
from migsafe.transaction.evidence import GuestState, HostEvidence
from migsafe.transaction.history import History
from migsafe.transaction.witness import Witness

SRC, DST, G = fake.SRC, fake.DST, GuestState
#: (boot id, rebooted since), as a peer can have them.
ANSWERS = ((None, None), *itertools.product(('', 'boot-2'),
                                            (None, False, True)))


class Peer:
    def __init__(self, answer):
        self.answer = answer

    def evidence(self, host, uuid, instance_uuid):
        return dataclasses.replace(self.answer, host=host)


def gather(local, here, peer, declared):
    """The evidence of both hosts as one of them has it."""
    other = DST if local == SRC else SRC
    clients = types.SimpleNamespace(
        guests=types.SimpleNamespace(
            evidence=lambda uuid: HostEvidence(local, here)),
        peer=Peer(peer), hosts=fake.Hosts(fake.Calls()))
    clients.hosts.down = {other} if declared else set()
    cloud = types.SimpleNamespace(local=local)
    history = History(dead_hosts={other} if declared else set())
    return Witness(local, clients).gather(
        fake.transaction(cloud), history), other


class TestDeclaredDead(unittest.TestCase):
    def product(self):
        """Everything that a peer can say, on both sides."""
        for local, here, there, (boot, rebooted), declared in \
                itertools.product((SRC, DST), G, set(G) - {G.DEAD}, ANSWERS,
                                  (True, False)):
            if boot is None and there is not G.UNKNOWN:
                continue  # it said something, so it answered
            yield local, here, HostEvidence(
                'x', there, boot_id=boot, rebooted=rebooted), declared

    def test_only_what_is_unknown_is_taken_for_something_else(self):
        for local, here, peer, declared in self.product():
            found, other = gather(local, here, peer, declared)
            if peer.guest is not G.UNKNOWN or not declared:
                self.assertIs(peer.guest, found.of(other).guest)

    def test_a_host_that_answers_is_never_dead(self):
        seen = set()
        for local, here, peer, declared in self.product():
            found, other = gather(local, here, peer, declared)
            if not declared or peer.guest is not G.UNKNOWN:
                continue
            guest = found.of(other).guest
            seen.add(guest)
            self.assertIs(peer.boot_id is None, guest is G.DEAD)
            self.assertIs(bool(peer.boot_id and peer.rebooted),
                          guest is G.ABSENT)
        self.assertEqual({G.DEAD, G.ABSENT, G.UNKNOWN}, seen)

    def test_a_reboot_never_licenses_more_than_no_domain(self):
        for local, here, peer, declared in self.product():
            if not peer.rebooted:
                continue
            found, other = gather(local, here, peer, declared)
            as_absent, _ = gather(local, here, dataclasses.replace(
                peer, guest=G.ABSENT, rebooted=None), False)
            decision, bound = verdict.decide(found), verdict.decide(as_absent)
            if found.of(other).guest is not peer.guest:
                self.assertEqual((bound.verdict, bound.teardown),
                                 (decision.verdict, decision.teardown))

    def test_the_boot_alone_changes_the_outcome(self):
        verdicts = {}
        for rebooted in (True, False, None):
            found, _ = gather(SRC, G.SHUT_OFF, HostEvidence(
                'x', G.UNKNOWN, boot_id='b', rebooted=rebooted), True)
            verdicts[rebooted] = verdict.decide(found).verdict
        self.assertEqual({True: verdict.Verdict.ABORT, False: verdict.Verdict.HOLD,
                          None: verdict.Verdict.HOLD}, verdicts)


if __name__ == '__main__':
    unittest.main()
