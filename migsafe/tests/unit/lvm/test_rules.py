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
"""The decision: row by row, and for all facts there may be."""

import dataclasses

import testtools
from hypothesis import given, strategies

from migsafe.brick.kernel import place
from migsafe.lvm import facts, render, roles, rules, uses

P = place.Place
R, V = roles.Role, rules.Verdict
OFF = {'devices/use_devicesfile': 0, 'devices/devicesfile': 'system.devices',
       'devices/filter': ('a|.*|',), 'devices/global_filter': ('a|.*|',)}
LINK = '/dev/disk/by-id/wwn-0x3333333000001770'
CLOSED = ('a|^/dev/disk/by-id/wwn-0x3333333000001770$|', 'r|.*|')


def device(name='sda', where=P.LOCAL, **more):
    return facts.Device(f'uuid-{name}', f'/dev/{name}', name, where, **{'link': LINK} | more)


def vg(name='host', *devices, **more):
    return facts.Vg(f'vg-{name}', name, devices or (device(),), **more)


GUEST = vg('guest', device('sdb', P.NETWORK))


def host(*vgs, effective=(), written=(), version=(2, 3, 16), **more):
    return facts.Facts(version, OFF | dict(effective), dict(written), vgs, **more)


class RoleTest(testtools.TestCase):

    def role(self, group):
        return roles.judge(group).role

    def test_rows(self):
        net, inside, unknown = (device('sdb', where) for where in (
            P.NETWORK, P.INSIDE, P.UNKNOWN))
        lost = facts.Device('u', '[unknown]', '', P.UNKNOWN, missing=True)
        for expected, group in (
                (R.HOST, vg()),
                (R.HOST, vg('v', device('sda'), device('sdc'))),
                (R.GUEST, vg('v', net)),
                (R.GUEST, vg('v', net, lost)),
                (R.GUEST, vg('v', dataclasses.replace(net, duplicate=True))),
                (R.GUEST, vg('v', inside)),
                (R.HOST, vg('v', net, uses=('mounted on /',), system=True)),
                (R.DOUBT, vg('v', net, uses=('mounted on /mnt',))),
                (R.DOUBT, vg('v', net, named=('cinder',))),
                (R.DOUBT, vg('v', inside, uses=('mounted on /',), system=True)),
                (R.DOUBT, vg('v', unknown)),
                (R.DOUBT, vg('v', unknown, uses=('mounted on /',), system=True)),
                (R.DOUBT, vg('v', device(), net)),
                (R.DOUBT, vg('v', device(), lost)),
                (R.DOUBT, vg('v', lost)),
                (R.DOUBT, vg('v', device(duplicate=True))),
                (R.DOUBT, vg('v', named=('cinder',), shared=True))):
            self.assertIs(expected, self.role(group), group)


class DecideTest(testtools.TestCase):

    def test_nothing_is_to_be_typed_while_a_disk_of_the_host_is_missing(self):
        """A filter of somebody's own lets one disk of two through: the commands would keep it so.
        """
        lost = facts.Device('u', '[unknown]', '', P.UNKNOWN, missing=True)
        for more, typed in (((), True), ((lost,), False)):
            found = host(vg('host', device(), *more, uses=('mounted on /srv',)), GUEST)
            advice = rules.decide(found)
            self.assertEqual(typed, bool(render.commands(advice, found.effective)), more)
            self.assertEqual(typed, advice.plan is not None)
        self.assertIn('Look whether a filter hides it', ' '.join(advice.reasons))


    def decided(self, verdict, found, *words):
        advice = rules.decide(found)
        self.assertIs(verdict, advice.verdict, advice.reasons)
        for word in words:
            self.assertIn(word, ' '.join((*advice.reasons, *advice.notes)))
        for text in (*advice.reasons, *advice.notes):
            self.assertNotIn('set event_activation', text)
        return advice

    def test_plain_host(self):
        advice = self.decided(V.CONFIGURE, host(vg(), GUEST), 'no filter and no devices file')
        self.assertEqual([
            'lvm lvmdevices --devicesfile migsafe-new.devices --adddev /dev/sda',
            'mv /etc/lvm/devices/migsafe-new.devices /etc/lvm/devices/system.devices',
            'in /etc/lvm/lvmlocal.conf, add: devices { use_devicesfile = 1 }'],
            render.commands(advice, OFF))

    def test_no_lvm_of_its_own(self):
        advice = self.decided(V.CONFIGURE, host())
        self.assertEqual(['mkdir -p -m 0700 /etc/lvm/devices',
                          'touch /etc/lvm/devices/system.devices'],
                         render.commands(advice, OFF)[:2])

    def test_devices_file_on(self):
        found = host(vg(), effective={'devices/use_devicesfile': 1})
        advice = self.decided(V.CONFIGURE, found)
        self.assertEqual(2, len(render.commands(advice, found.effective)))
        self.decided(V.UNNEEDED, dataclasses.replace(found, listed=True))

    def test_listed_guest(self):
        self.decided(V.RECOMMEND, host(vg(), GUEST, effective={'devices/use_devicesfile': 1},
                                       listed=True), 'volume group guest (uuid vg-guest')

    def test_loose_entry(self):
        self.decided(V.RECOMMEND, host(vg(), effective={'devices/use_devicesfile': 1},
                                       listed=True, loose=('IDTYPE=devname IDNAME=/dev/sdb',)),
                     '--deldev')

    def test_devices_file_that_is_off(self):
        self.decided(V.RECOMMEND, host(vg(), listed=True), 'configured not to use')
        self.decided(V.RECOMMEND, host(vg(), written={'devices/use_devicesfile': 0}),
                     'use_devicesfile = 0')

    def test_filters(self):
        for name in ('filter', 'global_filter'):
            closed = {f'devices/{name}': CLOSED}
            self.decided(V.UNNEEDED, host(vg(), effective=closed, written=closed))
            opened = {f'devices/{name}': ('r|/dev/vd|',)}
            found = host(vg(), effective=opened, written=opened)
            advice = self.decided(V.RECOMMEND, found, f'devices/{name}')
            self.assertEqual(f'global_filter = [ "{CLOSED[0]}", "r|.*|" ]',
                             render.instead(found, advice))
        # a filter says nothing once there is a devices file, and LVM prints a warning
        self.decided(V.UNNEEDED, host(vg(), effective=opened | {'devices/use_devicesfile': 1},
                                      written=opened, listed=True))

    def test_doubt(self):
        self.decided(V.RECOMMEND, host(vg(), vg('san', device('sdc', P.NETWORK), uses=(
            'mounted on /mnt',))), 'mounted on /mnt')

    def test_commands_with_a_doubt(self):
        found = host(vg(), vg('san', device('sdc', P.NETWORK), named=('cinder.conf',)))
        advice = self.decided(V.RECOMMEND, found, 'cinder.conf')
        self.assertIn('--adddev /dev/sdc  # only if volume group san',
                      '\n'.join(render.commands(advice, found.effective)))
        self.assertIsNone(render.instead(found, advice))
        old = dataclasses.replace(found, version=(2, 3, 11))
        self.assertEqual([], render.commands(rules.decide(old), old.effective))

    def test_copy_of_the_hosts(self):
        for effective in ({}, {'devices/global_filter': CLOSED}):
            twice = vg('host', device(duplicate=True), device('sdb', P.NETWORK, duplicate=True))
            self.decided(V.RECOMMEND, host(twice, effective=effective), 'on two devices')

    def test_hidden_absent_unfinished(self):
        closed = {'devices/global_filter': CLOSED}
        self.decided(V.RECOMMEND, host(effective=closed, hidden=(
            uses.Use('vg-host', 'mounted on /', True),)), 'mounted on /')
        self.decided(V.RECOMMEND, host(effective=closed, absent=(
            facts.Named('cinder-\x1bvolumes', 'cinder.conf'),)), r'cinder-\x1bvolumes')
        self.decided(V.RECOMMEND, host(effective=closed, unfinished=True), 'cut off')

    def test_old_lvm(self):
        self.decided(V.RECOMMEND, host(vg(), version=(2, 3, 11)), '2.03.19')
        self.decided(V.CONFIGURE, host(version=(2, 3, 11)))
        without = host(vg(), version=(2, 3, 21))
        del without.effective['devices/use_devicesfile']
        advice = self.decided(V.CONFIGURE, without)
        self.assertIn(CLOSED[0], render.commands(advice, without.effective)[0])
        nameless = host(vg('v', device(link='')), version=(2, 3, 11))
        self.decided(V.RECOMMEND, nameless, 'no name in /dev/disk/by-id')

    def test_notes(self):
        self.decided(V.CONFIGURE, host(effective={
            'global/event_activation': 0, 'devices/scan_lvs': 1,
            'activation/auto_activation_volume_list': ('host',),
            'devices/multipath_component_detection': 0}),
            'It hides nothing', 'a guest chooses', 'scan_lvs = 1', 'single path')

    def test_tried(self):
        advice = rules.decide(host(vg(), GUEST))
        self.assertIs(advice, rules.tried(advice, frozenset(('uuid-sda',))))
        for seen in ((), ('uuid-sda', 'uuid-sdb'), ('uuid-sdb',)):
            worse = rules.tried(advice, frozenset(seen))
            self.assertEqual((V.RECOMMEND, None), (worse.verdict, worse.plan))


class AnyFactsTest(testtools.TestCase):
    """No advice, from whatever facts, hides a volume group that may be the host's."""

    places = strategies.sampled_from(P)
    devices = strategies.builds(
        device,
        strategies.sampled_from(('sda', 'sdb', 'dm-1', 'vdc')),
        places,
        link=strategies.sampled_from((LINK, '')),
        duplicate=strategies.booleans(),
        missing=strategies.booleans(),
    )
    vgs = strategies.builds(
        lambda name, devices, used, system, named, shared: facts.Vg(
            f'vg-{name}', name, tuple(devices), used, bool(used) and system, named, shared
        ),
        strategies.sampled_from(('host', 'guest', 'cinder-volumes')),
        strategies.lists(devices, min_size=1, max_size=3),
        strategies.sampled_from(((), ('mounted on /',))),
        strategies.booleans(),
        strategies.sampled_from(((), ('cinder.conf',))),
        strategies.booleans(),
    )
    patterns = strategies.sampled_from((('a|.*|',), CLOSED, ('r|/dev/vd|',), (), 'r|.*|', 7, None))
    settings = strategies.fixed_dictionaries({}, optional={
        'devices/filter': patterns, 'devices/global_filter': patterns,
        'devices/use_devicesfile': strategies.sampled_from((0, 1, 'yes')),
        'global/event_activation': strategies.sampled_from((0, 1, ''))})
    versions = strategies.tuples(
        strategies.just(2), strategies.integers(2, 3), strategies.integers(0, 40)
    )
    hosts = strategies.builds(
        facts.Facts,
        versions,
        settings,
        settings,
        strategies.lists(vgs, max_size=4).map(tuple),
        hidden=strategies.sampled_from(((), (uses.Use('vg-x', 'swap', True),))),
        listed=strategies.booleans(),
        loose=strategies.sampled_from(((), ('IDTYPE=devname',))),
        unfinished=strategies.booleans(),
    )

    @given(hosts)
    def test_never_hides_the_hosts(self, found):
        advice = rules.decide(found)
        if advice.verdict is V.UNNEEDED:
            self.assertIsNone(rules.open_to(found))
            self.assertFalse(found.hidden or found.unfinished or found.loose)
        if advice.verdict is V.CONFIGURE:
            kept = {(d.uuid, d.name) for d in advice.plan.keep}
            for group in found.vgs:
                mine = {(d.uuid, d.name) for d in group.devices if not d.missing}
                if group.uses or group.named or all(
                        d.place is P.LOCAL for d in group.devices):
                    self.assertLessEqual(mine, kept)
                self.assertFalse({P.UNKNOWN} & {d.place for d in group.devices
                                                if not d.missing})
            self.assertTrue(all(d.place in (P.LOCAL, P.NETWORK) for d in advice.plan.keep))
            self.assertFalse(found.written.keys() & {'devices/filter', 'devices/global_filter'})
            self.assertTrue(render.commands(advice, found.effective))
        if advice.plan and advice.plan.means is rules.Means.DEVICES_FILE:
            # also what a person may copy names every disk that the host may need
            typed = '\n'.join(render.commands(advice, found.effective))
            for group in found.vgs:
                for one in group.devices if group.uses or group.named else ():
                    self.assertTrue(one.missing or f'--adddev {one.path}' in typed)
        self.assertTrue(advice.reasons)
