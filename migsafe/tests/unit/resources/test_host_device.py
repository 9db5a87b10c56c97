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
import unittest

from migsafe.resources import base, host_device
from migsafe.tests.unit.resources import cloud as fake
from migsafe.transaction.evidence import GuestState
from migsafe.transaction.history import History
from migsafe.transaction.move import Point
from migsafe.transaction.verdict import Verdict

SRC, DST = fake.SRC, fake.DST
COMMIT, ABORT = Verdict.COMMIT, Verdict.ABORT
G = GuestState


class Case(unittest.TestCase):
    def setUp(self):
        self.resource = host_device.HostDevice()
        self.start()

    def start(self, volumes=2, local=DST):
        self.cloud = fake.Cloud(volumes, local)

    def release(self, move):
        """What is kept after a release."""
        act = (self.resource.commit
               if move.decision.verdict is COMMIT else self.resource.revert)
        try:
            act(move, Point.DEVICES)
        except base.Held as held:
            self.assertEqual(held.keys, move.kept)
        return move.kept

    def disconnected(self):
        return [volume for _name, volume in
                self.cloud.calls.of('disconnect')]


class TestHere(Case):
    """The loser is this host: the destination of an ABORT."""

    def test_all_devices_go_and_nothing_else(self):
        move = fake.move(self.cloud)
        self.assertEqual({}, self.release(move))
        self.assertTrue(move.released)
        self.assertEqual(set(), self.cloud.devices.present)
        self.assertEqual({'disconnect'},
                         {name for name, *_ in self.cloud.changes()})
        self.assertEqual([], self.resource.inspect(move))

    def test_each_is_journalled_before_it_is_done(self):
        move = fake.move(self.cloud)
        self.release(move)
        self.assertEqual(
            [('host_device', 'disconnect_volume', fake.volume(n), None)
             for n in (0, 1)], move.journal.intents)
        self.assertEqual([('disconnect_volume', 'ok')] * 2,
                         move.journal.outcomes)

    def test_guest_in_any_state_but_gone_keeps_its_devices(self):
        for state in G:
            with self.subTest(state):
                self.start()
                self.cloud.guests.state = state
                kept = self.release(fake.move(self.cloud))
                if state in (G.ABSENT, G.SHUT_OFF, G.HANDED_OVER):
                    self.assertEqual({}, kept)
                    continue
                self.assertEqual({fake.volume(0), fake.volume(1)}, set(kept))
                self.assertIn(state.value, kept[fake.volume(0)])
                self.assertEqual([], self.cloud.changes())

    def test_guest_keeps_volumes_that_have_no_device_to_see(self):
        """RBD and NFS in QEMU: nothing under /dev shows that it is open."""
        self.cloud.devices.present.clear()
        self.cloud.guests.state = G.HERE
        kept = self.release(fake.move(self.cloud))
        self.assertEqual([], self.disconnected())
        self.assertEqual({fake.volume(0), fake.volume(1)}, set(kept))

    def test_guest_that_appeared_after_the_decision(self):
        """The licence is older than the look that counts."""
        self.cloud.guests.state = G.HERE
        self.assertEqual(2, len(self.release(fake.move(
            self.cloud, loser_guest=G.ABSENT))))
        self.assertEqual([], self.cloud.changes())

    def test_export_gone_under_a_live_device(self):
        """Its LUN may lead to somebody else's disk by now: hands off."""
        del self.cloud.volumes.rows[fake.attachment(DST, 0)]
        kept = self.release(fake.move(self.cloud))
        self.assertEqual({fake.volume(0)}, set(kept))
        self.assertIn(f'no export to {DST}', kept[fake.volume(0)])
        self.assertIn('by hand', kept[fake.volume(0)])
        self.assertEqual([fake.volume(1)], self.disconnected())

    def test_export_that_goes_while_the_journal_keeps_it_waiting(self):
        """A source without migsafe deletes it, and its number is given to somebody else."""
        move = fake.move(self.cloud)
        written = move.journal.intent

        def waits(*args):
            self.cloud.volumes.rows.pop(fake.attachment(DST, 0), None)
            return written(*args)
        move.journal.intent = waits
        self.assertIn('is not touched', self.release(move)[fake.volume(0)])
        self.assertEqual([fake.volume(1)], self.disconnected())
        self.assertEqual([('disconnect_volume', 'error'), ('disconnect_volume', 'ok')],
                         move.journal.outcomes)

    def test_an_attachment_without_a_host_is_no_export_to_who_knows_his_own(self):
        """Cinder names its host once it is complete: it may be the other one's."""
        history = self.cloud.history()
        del self.cloud.volumes.rows[fake.attachment(DST, 0)]
        self.cloud.volumes.add('of-the-other', fake.volume(0), None, fake.info(SRC, 0))
        kept = self.release(fake.move(self.cloud, history=history))
        self.assertIn(f'no export to {DST}', kept[fake.volume(0)])
        self.assertEqual([fake.volume(1)], self.disconnected())

    def test_an_attachment_that_the_other_host_says_it_made_is_none_of_here(self):
        """What its number leads to here is a third one's, and it waits for this host."""
        self.cloud.volumes.add('of-the-other', fake.volume(0), None, fake.info(SRC, 0))
        self.cloud.devices.add(fake.info(SRC, 0))
        self.assertIn('and no journal of', self.release(fake.move(self.cloud))[fake.volume(0)])
        self.cloud.peer.description = dict(
            self.cloud.peer.description, attachments={fake.volume(0): ['of-the-other']})
        self.assertEqual({}, self.release(fake.move(self.cloud)))

    def test_a_device_that_says_itself_that_it_is_the_volume(self):
        """Killed before Cinder knew the host, and the journal is an older one by now."""
        info = fake.info(SRC, 0)
        self.cloud.devices.add(info)
        lost, = self.cloud.devices.paths('', info)
        self.cloud.volumes.add('that-nobody-knows', fake.volume(0), None, info)
        del self.cloud.volumes.rows[fake.attachment(DST, 0)]

        made = History(attachments={fake.volume(0): ['that-nobody-knows']})

        def kept(history=None):
            return self.release(fake.move(self.cloud, history=history or History()))
        for says in (None, False):
            self.cloud.devices.says = {lost: says}
            self.assertIn('and no journal of', kept()[fake.volume(0)])
            # the older journal may have the attachment, and not that it was connected
            self.assertIn('and no journal of', kept(made)[fake.volume(0)])
            self.assertEqual([lost], self.cloud.devices.paths('', info))
        self.cloud.devices.says = {lost: True}
        self.assertEqual({}, kept())
        self.assertEqual([], self.cloud.devices.paths('', info))
        self.cloud.devices.add(info)
        self.assertEqual({}, kept(made))
        self.assertEqual([], self.cloud.devices.paths('', info))

    def test_an_attachment_without_a_host_may_be_the_one_that_nobody_knows(self):
        history = self.cloud.history()
        history.attachments.pop(fake.volume(0))
        del self.cloud.volumes.rows[fake.attachment(DST, 0)]
        self.cloud.volumes.add('may-be-mine', fake.volume(0), None, fake.info(DST, 0))
        self.release(fake.move(self.cloud, history=history))
        self.assertIn(fake.volume(0), self.disconnected())

    def test_export_and_device_gone_is_done(self):
        del self.cloud.volumes.rows[fake.attachment(DST, 0)]
        self.cloud.devices.present.discard((fake.IQN, fake.FIRST_LUN[DST]))
        self.assertEqual({}, self.release(fake.move(self.cloud)))

    def test_holder_keeps_that_volume_only(self):
        self.cloud.devices.holders[fake.volume(0)] = 'LV data of VG guest'
        move = fake.move(self.cloud)
        kept = self.release(move)
        self.assertEqual({fake.volume(0)}, set(kept))
        self.assertIn('LV data of VG guest', kept[fake.volume(0)])
        self.assertEqual([('disconnect_volume', 'error'),
                          ('disconnect_volume', 'ok')], move.journal.outcomes)
        found = self.resource.inspect(move)
        self.assertEqual([('R4', fake.volume(0), DST)],
                         [(r.kind, r.key, r.host) for r in found])
        self.assertIn('LV data of VG guest', str(found[0]))

    def test_disconnect_that_did_nothing(self):
        self.cloud.devices.stubborn.add(fake.volume(1))
        kept = self.release(fake.move(self.cloud))
        self.assertEqual({fake.volume(1)}, set(kept))
        self.assertIn('still there', kept[fake.volume(1)])

    def test_number_that_is_in_use_again_is_not_ours(self):
        """The device went, and at once another tenant's has its LUN number."""
        move = fake.move(self.cloud)
        self.release(move)
        for number in range(2):
            move.history.connections.pop(fake.volume(number))
            self.cloud.devices.add(fake.info(DST, number))
        self.cloud.calls.made.clear()
        self.assertEqual({}, self.release(move))
        self.assertEqual([], self.resource.inspect(move))
        self.assertEqual([], self.cloud.changes())

    def test_number_that_is_in_use_again(self):
        """Its exports went while this host was away, and no disconnect was ever journalled. The
        guards would refuse to disconnect another tenant's disk, and without them it would go."""
        self.start(1)
        history = self.cloud.history()
        self.cloud.volumes.rows.clear()
        self.cloud.devices.present.clear()
        move = fake.move(self.cloud, history=history)
        self.assertEqual({}, self.release(move))
        self.assertEqual([], self.disconnected())
        # it is over for good: what comes by that number later is not looked for
        self.cloud.devices.add(fake.info(DST, 0))
        self.assertEqual({}, self.release(move))
        self.assertEqual([], self.disconnected())

    def test_nothing_is_found_where_the_export_still_is(self):
        """The control: then the number is the volume's."""
        self.start(1)
        self.cloud.devices.present.clear()
        self.assertEqual({}, self.release(fake.move(self.cloud)))
        self.assertEqual([fake.volume(0)], self.disconnected())

    def test_error_does_not_show_a_secret(self):
        self.cloud.calls.errors['disconnect'] = OSError(
            f"{{'auth_password': '{fake.SECRET}'}}")
        for reason in self.release(fake.move(self.cloud)).values():
            self.assertNotIn(fake.SECRET, reason)

    def test_none_and_twenty_six_volumes(self):
        for count in (0, 1, 26):
            with self.subTest(count):
                self.start(volumes=count)
                self.assertEqual({}, self.release(fake.move(self.cloud)))
                self.assertEqual(count, len(self.disconnected()))

    def test_multiattach_device_that_another_guest_uses(self):
        """Devices.paths() answers nothing for it; see nova.clients.devices.
        """
        self.cloud.devices.present.clear()
        move = fake.move(self.cloud)
        self.assertEqual({}, self.release(move))
        self.assertEqual([], self.resource.inspect(move))

    def test_without_a_journal_cinder_says_what_was_for_this_host(self):
        self.assertEqual({}, self.release(fake.move(
            self.cloud, history=History())))
        self.assertEqual({fake.volume(0), fake.volume(1)},
                         set(self.disconnected()))

    def test_never_the_lun_of_the_other_host(self):
        """The row names the source's LUNs by now: the journal counts."""
        self.cloud.devices.add(fake.info(SRC, 0))
        self.release(fake.move(self.cloud))
        self.assertEqual({(fake.IQN, fake.FIRST_LUN[SRC])},
                         self.cloud.devices.present)

    def test_damaged_connection_info_holds_that_volume_only(self):
        history = self.cloud.history()
        history.connections[fake.volume(0)] = {'data': 'damaged'}
        kept = self.release(fake.move(self.cloud, history=history))
        self.assertEqual({fake.volume(0)}, set(kept))
        self.assertEqual([fake.volume(1)], self.disconnected())

    def test_cinder_silent_leaves_devices_and_exports(self):
        self.cloud.calls.errors['attachments'] = OSError('HTTP 503')
        move = fake.move(self.cloud)
        with self.assertRaises(OSError):
            self.resource.revert(move, Point.DEVICES)
        self.assertFalse(move.released)
        self.assertEqual([], self.cloud.changes())


class TestLegacyHere(Case):
    def setUp(self):
        super().setUp()
        self.cloud.legacy(0)
        self.cloud.legacy(1)

    def test_device_first_then_the_export(self):
        self.release(fake.move(self.cloud))
        self.assertEqual(
            [('disconnect', fake.volume(0)), ('terminate', fake.volume(0)),
             ('disconnect', fake.volume(1)), ('terminate', fake.volume(1))],
            self.cloud.changes())

    def test_device_that_stays_keeps_its_export(self):
        self.cloud.devices.stubborn.add(fake.volume(0))
        self.release(fake.move(self.cloud))
        self.assertEqual([('terminate', fake.volume(1))],
                         self.cloud.calls.of('terminate'))

    def test_export_stays_while_the_guest_is_here(self):
        for present in (True, False):
            with self.subTest(device=present):
                self.cloud.guests.state = G.HERE
                if not present:
                    self.cloud.devices.present.clear()
                self.release(fake.move(self.cloud))
                self.assertEqual([], self.cloud.calls.of('terminate'))


class TestSourceOfACommit(Case):
    def setUp(self):
        super().setUp()
        self.start(local=SRC)
        self.cloud.guests.state = G.ABSENT

    def test_captured_connections_go(self):
        self.assertEqual({}, self.release(fake.move(self.cloud, COMMIT)))
        self.assertEqual(set(), self.cloud.devices.present)

    def test_already_gone_costs_no_disconnect(self):
        self.cloud.devices.present.clear()
        self.assertEqual({}, self.release(fake.move(self.cloud, COMMIT)))
        self.assertEqual([], self.cloud.changes())

    def test_what_cannot_be_seen_is_disconnected_once(self):
        """NFS, ScaleIO, StorPool, LightOS, RBD: that nothing is found says nothing."""
        self.cloud.devices.blind = True
        move = fake.move(self.cloud, COMMIT)
        for _ in range(2):
            self.assertEqual({}, self.release(move))
        self.assertEqual([fake.volume(0), fake.volume(1)], self.disconnected())
        self.assertEqual(set(), self.cloud.devices.present)

    def test_what_cannot_be_seen_and_is_not_disconnected_keeps_its_export(self):
        self.cloud.devices.blind = True
        self.cloud.devices.holders[fake.volume(1)] = 'another guest'
        move = fake.move(self.cloud, COMMIT)
        for _ in range(2):
            self.assertEqual({fake.volume(1)}, set(self.release(move)))
        self.assertEqual([fake.volume(0), fake.volume(1), fake.volume(1)], self.disconnected())

    def test_disconnect_that_failed_is_tried_again_while_the_number_is_its_own(self):
        self.cloud.devices.present.clear()
        history = self.cloud.history()
        history.undone.add(fake.volume(0))
        for exported in (True, False):
            history.ended.clear()
            self.assertEqual({}, self.release(fake.move(self.cloud, COMMIT, history=history)))
            self.assertEqual([fake.volume(0)] if exported else [], self.disconnected())
            self.cloud.calls.made.clear()
            self.cloud.volumes.rows.clear()


class TestWonAndGone(Case):
    """This host has won, and the instance was deleted, or is on a third one."""

    def setUp(self):
        super().setUp()
        self.cloud.guests.state = G.ABSENT
        self.cloud.records.row = None

    def won(self):
        return fake.move(self.cloud, COMMIT)

    def test_what_it_made_goes(self):
        self.assertEqual({}, self.release(self.won()))
        self.assertEqual([fake.volume(0), fake.volume(1)], self.disconnected())

    def test_what_is_not_exported_any_more_is_somebody_elses(self):
        self.cloud.volumes.rows.clear()
        self.assertEqual({}, self.release(self.won()))
        self.assertEqual([], self.disconnected())

    def test_what_is_in_use_stays(self):
        self.cloud.guests.state = G.HERE
        self.assertEqual({fake.volume(0), fake.volume(1)}, set(self.release(self.won())))
        self.assertEqual([], self.disconnected())


class TestThere(Case):
    """The loser is the other host."""

    def setUp(self):
        super().setUp()
        self.start(local=SRC)

    def test_it_is_asked_once_and_nothing_is_done_here(self):
        move = fake.move(self.cloud)
        self.assertEqual({}, self.release(move))
        self.assertEqual([('peer.release', DST, 'ABORT')],
                         self.cloud.changes())
        self.assertEqual([], self.resource.inspect(move))

    def test_what_it_keeps_is_kept(self):
        self.cloud.peer.answer = {'state': 'done', 'kept': {
            fake.volume(0): 'used by LV data'}}
        move = fake.move(self.cloud)
        self.assertEqual({fake.volume(0): 'used by LV data'},
                         self.release(move))
        self.assertEqual([('R4', fake.volume(0), DST)],
                         [(r.kind, r.key, r.host)
                          for r in self.resource.inspect(move)])

    def test_anything_else_keeps_everything(self):
        for answer in (
                {'state': 'busy', 'reason': 'still preparing'},
                {'state': 'refused', 'reason': 'the guest is here'},
                {'state': 'refused'}, {}, {'state': 'done'},
                {'state': 'done', 'kept': None},
                {'state': 'done', 'kept': ['x']},
                {'state': 'Done', 'kept': {}}, {'state': None, 'kept': {}}):
            with self.subTest(answer):
                self.cloud.peer.answer = answer
                kept = self.release(fake.move(self.cloud))
                self.assertEqual({fake.volume(0), fake.volume(1)}, set(kept))
                self.assertTrue(all(kept.values()))
                self.assertIn(answer.get('reason') or 'no', kept[
                    fake.volume(0)])

    def test_not_asked_without_a_licence(self):
        kept = self.release(fake.move(self.cloud, teardown=False,
                                      loser_guest=G.UNKNOWN))
        self.assertEqual({fake.volume(0), fake.volume(1)}, set(kept))
        self.assertEqual([], self.cloud.changes())

    def test_dead_host_took_its_devices_along(self):
        move = fake.move(self.cloud, loser_guest=G.DEAD)
        self.assertEqual({}, self.release(move))
        self.assertTrue(move.released)
        self.assertEqual([], self.cloud.changes())
        self.assertEqual([], self.resource.inspect(move))

    def test_failure_before_the_answer_is_known_is_not_clean(self):
        self.cloud.calls.errors['volumes'] = OSError('conductor is away')
        move = fake.move(self.cloud)
        with self.assertRaises(OSError):
            self.resource.revert(move, Point.DEVICES)
        self.assertFalse(move.released)
        del self.cloud.calls.errors['volumes']
        self.assertNotEqual([], self.resource.inspect(move))


class TestLicence(Case):
    def test_no_licence_means_no_change_on_either_side(self):
        for local in (SRC, DST):
            for verdict in (COMMIT, ABORT):
                with self.subTest(local=local, verdict=verdict):
                    self.start(local=local)
                    self.cloud.guests.state = G.ABSENT
                    self.release(fake.move(self.cloud, verdict,
                                           teardown=False))
                    self.assertEqual([], self.cloud.changes())
