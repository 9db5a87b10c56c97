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
import time
from unittest import mock

import testtools

from migsafe.brick import errors, refusals
from migsafe.brick.guard import judge, policy, questions
from migsafe.tests.unit.brick import trees

NAA = 'naa.600140512345678901234567890abcde'
OTHER = 'naa.6001405fffffffffffffffffffffffff'


class FakeRoot:
    """Answers as privileged would."""

    def __init__(self):
        self.identities, self.states, self.openers = {}, {}, []
        self.asked, self.claims, self.late = [], [], {}

    def look(self, name, exclusive):
        self.asked.append((name, exclusive))
        state = self.states.get(name, ['free'])
        now = state.pop(0) if len(state) > 1 else state[0]
        closed = now in ('dead', 'unknown')
        return {'state': now if exclusive or closed else 'free', 'reason': now,
                'identity': [] if exclusive or closed else self.identities.get(name, [NAA])}

    def ask(self, names, seconds):
        return {name: self.look(name, False) for name in names}

    def claim(self, names):
        for name in names:
            if self.late.get(name):
                return {'done': False, 'name': name, 'reason': self.late[name]}
        self.claims.append(names)
        return {'done': True, 'claim': len(self.claims)}

    def let_go(self, number):
        self.claims.append(number)

    def opened_by(self, numbers):
        return self.openers.pop(0) if len(self.openers) > 1 else (self.openers or [[]])[0]


class GuardCase(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.tree = self.useFixture(trees.Tree())
        self.root = FakeRoot()
        self.guard = questions.Guard('cn1', self.root, self.tree.sysfs)
        self.wanted = judge.Wanted('vol-1', frozenset((NAA,)))
        patcher = mock.patch.multiple(questions, PATIENCE=0.05, PAUSE=0.01, QUIET=0.02,
                                      SCANS=0.1)
        patcher.start()
        self.addCleanup(patcher.stop)

    def patient(self):
        """What ends by itself is waited for, however long this machine takes for a look."""
        patcher = mock.patch.object(questions, 'PATIENCE', 3600)
        patcher.start()
        self.addCleanup(patcher.stop)

    def note(self, name, designator):
        """What the kernel has noted of a disk."""
        (self.tree.top / name / 'wwid').write_text(f'{designator}\n')

    def refused(self, kind, *names, **kwargs):
        error = self.assertRaises(kind, self.guard.may_remove, names, self.wanted, **kwargs)
        for word in ('vol-1', 'cn1', '/dev/' if kind is not refusals.Unjudged else ''):
            self.assertIn(word, str(error))
        return str(error)


class RemovalTest(GuardCase):

    def test_free(self):
        self.tree.mpath()
        self.guard.may_remove(['sda', 'sdb'], self.wanted)
        # the map is claimed, not its paths, which it claims itself
        self.assertEqual([('sda', False), ('sdb', False), ('dm-0', True)], self.root.asked[:3])

    def test_partition_maps_claim_the_map(self):
        self.tree.mpath()
        self.tree.dm('dm-1', f'part1-mpath-{trees.WWID}', 'dm-0')
        self.root.states['dm-0'] = ['busy']
        self.guard.may_remove(['sda', 'sdb'], self.wanted)
        self.assertIn(('dm-1', True), self.root.asked)
        self.assertNotIn(('dm-0', True), self.root.asked)

    def test_what_is_not_there_is_free(self):
        self.guard.may_remove(['sda'], self.wanted)

    def test_holder_is_refused_before_any_root_is_needed(self):
        self.tree.mpath()
        self.tree.lv('dm-5', 'dm-0')
        self.wanted = judge.Wanted('vol-1')
        said = self.refused(refusals.VolumeHeld, 'sda', 'sdb')
        self.assertEqual([], self.root.asked)
        self.assertIn('vg0/root', said)
        self.assertIn('migsafe lvm release /dev/dm-0', said)

    def test_a_ghost_of_the_same_group_is_named(self):
        self.tree.disk('sda')
        self.tree.lv('dm-5', 'sda')
        self.tree.lv('dm-6', dm_name='vg0-lost')
        self.tree.dm('dm-7', 'LVM-' + 'x' * 64, dm_name='vg1-another')
        said = self.refused(refusals.VolumeHeld, 'sda')
        self.assertIn('vg0/lost (dm-6)', said)
        self.assertIn('is a ghost', said)
        self.assertNotIn('vg1', said)

    def test_claimed(self):
        self.tree.disk('sda')
        self.root.states['sda'] = ['busy']
        self.root.openers = [[['8:1', 'mounted on /srv']]]
        self.assertIn('mounted on /srv', self.refused(refusals.VolumeHeld, 'sda'))

    def test_a_claim_that_passes(self):
        self.tree.disk('sda')
        self.patient()
        self.root.states['sda'] = ['busy', 'busy', 'free']
        self.guard.may_remove(['sda'], self.wanted)

    def test_open_in_a_process(self):
        self.tree.disk('sda')
        self.root.openers = [[['8:1', 'process 77 (qemu-kvm)']]]
        self.assertIn('process 77 (qemu-kvm)', self.refused(refusals.VolumeHeld, 'sda'))

    def test_open_for_a_moment(self):
        self.tree.disk('sda')
        self.patient()
        self.root.openers = [[['8:1', 'process 77 (lvm)']], []]
        self.guard.may_remove(['sda'], self.wanted)

    def test_another_disk(self):
        self.tree.disk('sda')
        self.root.identities['sda'] = [OTHER]
        said = self.refused(refusals.WrongDisk, 'sda')
        self.assertIn(NAA, said)
        self.assertIn(OTHER, said)

    def test_another_disk_and_its_holder_is_nobody_s_business(self):
        self.tree.disk('sda')
        self.tree.lv('dm-5', 'sda')
        self.root.identities['sda'] = [OTHER]
        self.root.openers = [[['8:1', 'process 77 (qemu-kvm)']]]
        self.assertNotIn('Stop what', self.refused(refusals.WrongDisk, 'sda'))

    def test_paths_that_are_two_disks(self):
        self.tree.mpath()
        self.root.identities['sdb'] = [OTHER]
        self.wanted = judge.Wanted('vol-1')
        self.assertIn('as /dev/sda', self.refused(refusals.WrongDisk, 'sda', 'sdb'))

    def test_a_dead_path_has_no_say(self):
        self.tree.mpath()
        self.root.states['sda'] = ['dead']
        self.guard.may_remove(['sda', 'sdb'], self.wanted)

    def test_a_removal_does_not_need_an_answer(self):
        # a path that fails has to go like any other
        self.tree.disk('sda')
        for identity in ([], ['serial.x']):
            self.root.identities['sda'] = identity
            self.guard.may_remove(['sda'], self.wanted)

    def test_what_cannot_be_judged(self):
        self.tree.disk('sda')
        self.root.states['sda'] = ['Permission denied']
        self.assertIn('Permission denied', self.refused(refusals.Unjudged, 'sda'))

    def test_who_has_what_cannot_be_judged_open_is_named(self):
        self.tree.disk('sda')
        self.root.states['sda'] = ['the kernel has sda, but there is no /dev/sda']
        self.root.openers = [[[self.tree.sysfs.number('sda'), 'process 7 (database)']]]
        self.assertIn('process 7 (database)', self.refused(refusals.VolumeHeld, 'sda'))

    def test_who_has_it_open_cannot_be_found_out(self):
        self.tree.disk('sda')
        self.root.opened_by = mock.Mock(side_effect=OSError(13, '/proc/7/fd: Permission denied'))
        self.assertIn('/proc/7/fd', self.refused(refusals.Unjudged, 'sda'))
        self.root.states['sda'] = ['busy']
        self.assertIn('/proc/7/fd', self.refused(refusals.Unjudged, 'sda'))

    def test_what_cannot_be_judged_for_a_moment(self):
        self.tree.disk('sda')
        self.patient()
        self.root.states['sda'] = ['free', 'unknown', 'free']
        self.guard.may_remove(['sda'], self.wanted)

    def test_what_has_come_by_mistake_may_go_whoever_it_is(self):
        self.tree.mpath()
        self.tree.mpath('dm-1', ('sdc', 'sdd'), trees.WWID[:-1] + 'f')
        self.root.identities.update(sdc=[OTHER], sdd=[OTHER])
        mistake = judge.Wanted('vol-1', whoever=True)
        self.guard.may_remove(['sda', 'sdb', 'sdc', 'sdd'], mistake)
        self.root.states['dm-1'] = ['busy']
        self.assertRaises(refusals.VolumeHeld, self.guard.may_remove,
                          ['sda', 'sdb', 'sdc', 'sdd'], mistake)

    def test_two_maps(self):
        self.tree.mpath()
        self.tree.mpath('dm-1', ('sdc', 'sdd'), trees.WWID[:-1] + 'f')
        self.assertIn('several', self.refused(refusals.Unjudged, 'sda', 'sdc'))

    def test_raid_of_the_caller(self):
        self.tree.disk('nvme0n1')
        self.tree.disk('md0')
        self.tree.hold('nvme0n1', 'md0')
        self.refused(refusals.VolumeHeld, 'nvme0n1')
        self.guard.may_remove(['nvme0n1'], self.wanted, ['md0'])
        self.assertIn(('md0', True), self.root.asked)
        self.assertNotIn(('nvme0n1', True), self.root.asked)


    def test_the_kernels_note_speaks_for_a_path_that_does_not_answer(self):
        self.tree.disk('sda')
        self.note('sda', OTHER)
        for state in ('dead', 'silent'):
            self.root.states['sda'], self.root.identities['sda'] = [state], []
            self.assertIn(OTHER, self.refused(refusals.WrongDisk, 'sda'))
        self.note('sda', NAA)
        self.root.states['sda'] = ['dead']
        self.guard.may_remove(['sda'], self.wanted)

    def stat(self, name, reads, under_way=0):
        (self.tree.top / name / 'stat').write_text(f'{reads} 0 0 0 0 0 0 0 {under_way} 0 0')

    def test_what_moves_without_a_user_is_used(self):
        self.tree.disk('sda')
        reads = iter(range(10_000))
        look = self.guard.sysfs.attribute

        def moving(name, *path):
            if path == ('stat',):
                self.stat(name, next(reads))
            return look(name, *path)
        self.stat('sda', 0)
        with mock.patch.object(self.guard.sysfs, 'attribute', moving):
            self.assertIn('do not stand still', self.refused(refusals.VolumeHeld, 'sda'))
            self.guard.may_remove(['sda'], self.wanted, watch=False)
        self.guard.may_remove(['sda'], self.wanted)

    def test_scans_that_follow_one_another_are_nobody(self):
        self.tree.disk('sda')
        self.patient()
        watch = mock.Mock(**{'restless.side_effect': [['sda']] * 500 + [[]]})
        with mock.patch.object(questions.counters, 'Watch', return_value=watch), \
                mock.patch.multiple(questions, PAUSE=0, SCANS=3600):
            self.guard.may_remove(['sda'], self.wanted)
        self.assertEqual(501, watch.restless.call_count)

    def test_whoever_comes_while_it_is_waited_for_the_counters_is_found(self):
        self.tree.disk('sda')
        self.root.openers = [[], [['8:1', 'process 77 (qemu-kvm)']]]
        watch = mock.Mock(restless=lambda seconds: time.sleep(0.06))
        with mock.patch.object(questions.counters, 'Watch', return_value=watch):
            self.assertIn('qemu-kvm', self.refused(refusals.VolumeHeld, 'sda'))

    def test_what_is_under_way_for_good_is_used(self):
        self.tree.disk('sda')
        self.stat('sda', 0, under_way=1)
        self.refused(refusals.VolumeHeld, 'sda')

    def test_whoever_opens_it_after_the_check_is_found_under_the_claim(self):
        self.tree.disk('sda')
        self.root.openers = [[['8:1', 'process 77 (qemu-kvm)']]]
        error = self.assertRaises(refusals.VolumeHeld, self.guard.unopened, ['sda', 'sdz'],
                                  self.wanted)
        self.assertIn('process 77 (qemu-kvm), which came up meanwhile', str(error))
        self.patient()
        self.root.openers = [[['8:1', 'process 78 (blkid)']], []]
        self.guard.unopened(['sda'], self.wanted)


class ClaimTest(GuardCase):
    """A claim that is not given back keeps everybody from the disk until the daemon ends."""

    @staticmethod
    def held():
        return refusals.VolumeHeld(volume='vol-1', device='sda', host='cn1', holder='qemu',
                                   left='', way_out='')

    def test_it_is_given_back_whatever_goes_wrong_under_it(self):
        self.tree.disk('sda')
        for error in (errors.Unsure(device='sda', host='cn1', reason='x'), OSError('x'),
                      self.held(), KeyboardInterrupt()):
            self.root.claims.clear()
            with self.subTest(repr(error)), \
                    mock.patch.object(self.guard, 'unopened', side_effect=error):
                self.assertRaises(type(error), policy.Policy(self.guard).claim, ['sda'])
                self.assertEqual([['sda'], 1], self.root.claims)

    def test_it_is_kept_where_the_policy_is_to_go_on(self):
        with mock.patch.object(self.guard, 'unopened', side_effect=self.held()):
            self.assertEqual(1, policy.Policy(self.guard, 'warn').claim(['sda']))
        self.assertEqual([['sda']], self.root.claims)


class ConnectedTest(GuardCase):

    def connected(self, name, **more):
        return self.guard.connected(name, f'/dev/{name}', self.wanted, True, **more)

    def test_a_disk_that_was_here_as_another_one(self):
        self.tree.disk('nvme0n1')
        self.wanted = judge.Wanted('vol-2')
        self.note('nvme0n1', OTHER)
        error = self.assertRaises(refusals.WrongDisk, self.connected, 'nvme0n1')
        for word in (f'{OTHER} of before', NAA, 'since before', 'vol-2'):
            self.assertIn(word, str(error))
        # the patrol has what is in use compared with the note, and has words of its own
        self.connected('nvme0n1', every=True)

    def test_what_it_was_when_it_was_handed_out(self):
        """A rescan has the kernel note what the disk is now."""
        self.tree.disk('nvme0n1')
        (self.tree.top / 'nvme0n1' / 'diskseq').write_text('7\n')
        self.connected('nvme0n1')
        self.root.identities['nvme0n1'] = [OTHER]
        self.wanted = judge.Wanted('vol-2')
        self.assertRaises(refusals.WrongDisk, self.connected, 'nvme0n1')
        # another disk of that name
        (self.tree.top / 'nvme0n1' / 'diskseq').write_text('8\n')
        self.assertEqual({OTHER}, self.connected('nvme0n1'))

    def test_a_map_with_a_path_to_something_else(self):
        self.tree.mpath()
        for name, lun in (('sda', 3), ('sdb', 4)):
            place = self.tree.root / 'devices' / f'2:0:0:{lun}'
            place.mkdir(parents=True)
            (self.tree.top / name / 'device').symlink_to(place)
        error = self.assertRaises(refusals.MixedMap, self.connected, 'dm-0', leads=[('iqn.x', 3)])
        for word in ('sdb (LUN 4', 'vol-1', '/dev/dm-0', 'one WWID'):
            self.assertIn(word, str(error))
        self.connected('dm-0', leads=[('iqn.x', 3), ('iqn.x', 4)])
        self.connected('dm-0')

    def test_right(self):
        self.tree.mpath()
        self.assertEqual({NAA}, self.connected('dm-0'))

    def test_first_attach(self):
        self.tree.disk('sda')
        self.assertEqual({NAA}, self.guard.connected(
            'sda', '/dev/sda', judge.Wanted('vol-1'), False))

    def test_wrong(self):
        self.tree.mpath()
        self.root.identities = {'sda': [OTHER], 'sdb': [OTHER]}
        error = self.assertRaises(refusals.WrongDisk, self.connected, 'dm-0')
        self.assertIn(f'is the disk {OTHER}, not {NAA}', str(error))

    def test_a_disk_that_does_not_prove_to_be_the_volume(self):
        self.tree.disk('sda')
        self.wanted = judge.Wanted('vol-1', frozenset((NAA,)))
        for state, identity, reason in (('free', [], 'free'), ('unknown', [NAA], 'unknown'),
                                        ('dead', [NAA], 'dead'),
                                        ('free', ['serial.x'], 'serial.x')):
            self.root.states['sda'], self.root.identities['sda'] = [state], identity
            error = self.assertRaises(refusals.Unproven, self.guard.connected, 'sda', '/dev/sda',
                                      self.wanted, False)
            for word in ('vol-1', 'cn1', '/dev/sda', NAA, reason):
                self.assertIn(word, str(error))

    def test_one_path_of_a_map_proves_it(self):
        self.tree.mpath()
        self.root.states['sda'] = ['dead']
        self.assertEqual({NAA}, self.connected('dm-0'))

    def test_another_path_that_only_answers_something_else_is_none(self):
        self.tree.mpath()
        self.root.identities['sdb'] = ['serial.x']
        self.assertRaises(refusals.Unproven, self.connected, 'dm-0')

    def test_a_path_that_the_map_has_not_taken(self):
        self.tree.mpath()
        self.tree.disk('sdc')
        self.root.identities['sdc'] = [OTHER]
        self.connected('dm-0')
        for wanted in (self.wanted, judge.Wanted('vol-1')):
            error = self.assertRaises(refusals.WrongDisk, self.guard.connected, 'dm-0',
                                      '/dev/dm-0', wanted, True, also=['sda', 'sdc'])
            self.assertIn('/dev/sdc is the disk', str(error))

    def test_map_of_another_disk(self):
        self.tree.mpath(wwid='3' + OTHER[4:])
        self.assertRaises(refusals.WrongDisk, self.connected, 'dm-0')

    def test_map_with_a_name_that_is_no_naa(self):
        self.tree.mpath(wwid='1Linux_scsi_debug_2000')
        self.connected('dm-0')

    def test_plain_path(self):
        self.tree.disk('sda')
        self.assertRaises(refusals.NotMultipath, self.connected, 'sda')
        self.tree.disk('nvme0n1')
        self.connected('nvme0n1')

    def test_not_there(self):
        self.assertRaises(refusals.Unjudged, self.connected, 'sda')
        self.assertRaises(refusals.Unjudged, self.connected, None)
