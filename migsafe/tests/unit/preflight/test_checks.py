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
"""Each check: what it finds, and that it is never fine about what could not be asked."""

import dataclasses
import pathlib
import random
import unittest

from migsafe.preflight import checks, facts, path, report
from migsafe.preflight.checks import CHECKS, Result
from migsafe.preflight.guest import Volume
from migsafe.preflight.surroundings import Certificate, Cpu, DirtyRate, Lvm, Queueing, Way
from migsafe.tests.unit.preflight import cases
from migsafe.tests.unit.preflight.cases import DST, GUEST, ISO, SRC, UUID

R = Result
DOC = pathlib.Path(__file__).parents[4] / 'doc' / 'source' / 'admin' / 'preflight.rst'


def server(**changes):
    return cases.good(server=dataclasses.replace(cases.good().server, **changes))


def destination(found=None, **changes):
    return cases.good(destination=cases.side(DST, found, **changes))


def service(**changes):
    return destination(service=dataclasses.replace(
        facts.ComputeService(DST, True, True), **changes))


def guest(**changes):
    return cases.good(source=cases.side(SRC, cases.made(SRC, dataclasses.replace(
        GUEST, **changes))))


def options(host, **changes):
    return cases.good(**{'source' if host == SRC else 'destination':
                         cases.with_options(host, **changes)})


def no_path(host, queueing):
    """A host that uses multipath, with what multipathd does without a path."""
    side = cases.with_options(host, multipath=True)
    return cases.good(**{'source' if host == SRC else 'destination': dataclasses.replace(
        side, around=cases.around(host, queueing=queueing))})


def tls(source=None, destination=None, **changes):
    """Two hosts that use QEMU's own TLS."""
    return cases.good(
        source=cases.side(SRC, around=cases.around(SRC, tls=dataclasses.replace(
            cases.native(**source or {}), **changes))),
        destination=cases.side(DST, around=cases.around(DST, tls=cases.native(
            **destination or {}))))


UNNOTED = dataclasses.replace(cases.VOLUME, identified=False)
#: code -> what it finds: (facts, result, words)
FOUND = {
    'server-state': [
        (server(status='SHUTOFF'), R.REFUSED, 'SHUTOFF'),
        (server(task='migrating'), R.REFUSED, 'settle --instance')],
    'destination-service': [
        (destination(service=None), R.REFUSED, 'has no nova-compute on'),
        (destination(service=None, service_problem='403'), R.UNKNOWN, '403'),
        (service(enabled=False, reason='rack 7'), R.REFUSED, 'disabled (rack 7)'),
        (service(up=False), R.REFUSED, 'is down'),
        (service(forced_down=True), R.REFUSED, '--up'),
        (cases.good(destination=cases.side(SRC)), R.REFUSED, 'is where the server is'),
        (cases.good(destination=facts.Side('')), R.UNKNOWN, '--host HOST')],
    'plugin': [
        (destination(report=None, plugin=facts.Plugin.UNARMED, problem='runs without'),
         R.REFUSED, 'runs without'),
        (destination(report=None, plugin=facts.Plugin.UNKNOWN, problem='silent'), R.UNKNOWN,
         'silent')],
    'plugin-version': [
        (destination(cases.made(DST, version='1.2.0')), R.REFUSED, '1.2.0 on')],
    'guest': [
        (cases.good(source=cases.side(SRC, cases.made(SRC))), R.UNKNOWN, 'no such guest'),
        (destination(cases.made(DST, GUEST)), R.REFUSED, 'has a guest of this server')],
    'residue': [
        (destination(cases.made(DST, residue=('R4 held', 'R3'))), R.REFUSED, 'R4 held; R3')],
    'destination-directory': [
        (destination(cases.made(DST, directory=report.Directory(True, 8, 5))), R.REFUSED,
         'DestinationDiskExists')],
    'clocks': [
        (destination(offset=9.0, margin=0.5), R.WARNING, '8 seconds')],
    'disks': [
        (guest(disks=(*GUEST.disks, ISO)), R.REFUSED, f'openstack server migrate {UUID}'),
        (guest(disks=(*GUEST.disks, dataclasses.replace(ISO, readonly=False))), R.NOTE,
         'nothing but the config drive'),
        (dataclasses.replace(cases.good(), request=dataclasses.replace(
            cases.good().request, block=checks.disks.Asked.TRUE)), R.REFUSED,
         'works: --block-migration auto, --block-migration false'),
        (options(DST, virt_type='lxc'), R.UNKNOWN, 'lxc'),
        (cases.good(
            source=cases.side(SRC, cases.made(SRC, dataclasses.replace(GUEST, disks=(
                *GUEST.disks, ISO)))),
            destination=cases.side(DST, cases.made(
                DST, directory=report.Directory(True, 7, 6)))), R.UNKNOWN, 'run it again'),
        (cases.good(source=cases.side(SRC, cases.made(SRC))), R.UNKNOWN, 'no such guest')],
    'connector': [
        (destination(cases.made(DST, connector=report.Connector())), R.REFUSED,
         'iSCSI initiator'),
        (cases.good(source=cases.side(SRC, cases.made(SRC))), R.UNKNOWN, 'which volumes')],
    'multipath': [
        (options(SRC, multipath=True), R.WARNING, 'on one host alone'),
        (options(DST, multipath=True), R.UNKNOWN, 'could not be asked'),
        (cases.good(destination=cases.side(DST, dataclasses.replace(
            cases.with_options(DST, multipath=True, enforce_multipath=True).report,
            connector=report.Connector('iqn', multipathd=False)))), R.REFUSED, 'each connect')],
    'identities': [
        (guest(volumes=(UNNOTED,)), R.NOTE, UNNOTED.id),
        (options(DST, device_guards=False), R.WARNING, 'not guarded'),
        (cases.good(source=cases.side(SRC, cases.made(SRC))), R.UNKNOWN, 'which volumes')],
    'service-token': [
        (options(DST, service_token=False), R.WARNING, 'OSSA-2023-003')],
    'timeouts': [
        (options(DST, long_rpc_timeout=30), R.WARNING, 'long_rpc_timeout (30)'),
        (options(SRC, rpc_response_timeout=20, migsafe_rpc_timeout=15), R.WARNING, 'half'),
        (options(SRC, completion_timeout=0), R.WARNING, 'never ends'),
        (options(SRC, completion_timeout=700), R.WARNING, '10 times 75'),
        (options(SRC, rpc_response_timeout=90), R.WARNING, 'differ between')],
    'retries': [
        (options(DST, call_retries=0, services=(report.Service('neutron', 0, None),)), R.NOTE,
         'http_retries = 3'),
        (options(DST, call_retries=0, services=(report.Service('placement', 1, 0),)), R.NOTE,
         'placement')],
    'path': [
        (cases.way(problem='Name or service not known'), R.REFUSED, 'does not resolve'),
        (cases.way(ports=(path.Port('libvirt (tcp)', 16509, 'refused'),)), R.REFUSED,
         'ss -ltn sport = :16509'),
        (cases.way(ports=(path.Port('libvirt (tcp)', 16509, 'silent'),)), R.REFUSED,
         'nothing answers'),
        (cases.way(ports=(path.Port('libvirt (tcp)', 16509, 'no way there'),)), R.REFUSED,
         'no way'),
        (cases.way(ports=(path.Port('libvirt (tcp)', 16509, 'x'),)), R.UNKNOWN, 'understood'),
        (cases.way(ports=(*cases.PATH.ports, path.Port('QEMU', 49215, 'silent'))), R.REFUSED,
         'let ports 49152 to 49215 through'),
        (cases.way(ports=(*cases.PATH.ports, path.Port('QEMU', 49215, 'no way there'))),
         R.REFUSED, 'firewall refuses it'),
        (cases.way(ports=(*cases.PATH.ports, path.Port(path.QEMU_ASSUMED, 61000, 'silent'))),
         R.REFUSED, 'which was not read) on r2202086compute, port 61000'),
        (cases.way(ports=()), R.UNKNOWN, 'which port'),
        (cases.good(path=None, path_problem='silent'), R.UNKNOWN, 'silent')],
    'certificates': [
        (cases.way(tls='the certificate of x is refused: expired', tls_used=True), R.REFUSED,
         'virt-pki-validate'),
        (cases.way(tls='only the certificate of x was looked at', tls_used=True), R.UNKNOWN,
         'only the'),
        (cases.way(uri='qemu+tls://x/system'), R.UNKNOWN, 'was not reached')],
    'speed': [
        (cases.way(speed=None), R.UNKNOWN, 'bond1'),
        (cases.way(memory=None), R.UNKNOWN, 'how large'),
        (cases.way(speed=10, memory=8 << 30), R.WARNING, 'ends it after 6400')],
    'dirty-rate': [
        (cases.finds(SRC, written=None), R.UNKNOWN, 'does not say how fast'),
        (cases.finds(SRC, written=DirtyRate()), R.NOTE, f'domdirtyrate-calc {UUID}'),
        (cases.finds(SRC, written=DirtyRate(5, 4000.0)), R.NOTE, 'the last hour'),
        (cases.finds(SRC, written=DirtyRate(1250 * 10 ** 6, 9.0)), R.WARNING, 'an end by itself'),
        (cases.finds(SRC, written=DirtyRate(1250 * 10 ** 6, 9.0, post_copy=True)), R.NOTE,
         'helps it by live_migration_permit_post_copy'),
        (cases.way(speed=840, memory=8 << 30), R.WARNING, 'ends it after 6400'),
        (cases.way(speed=None), R.UNKNOWN, 'the way there'),
        (cases.good(path=None), R.UNKNOWN, 'the way there'),
        (cases.good(source=cases.side(SRC, around=None, around_problem='older')), R.UNKNOWN,
         f'{SRC}: older')],
    'lvm': [
        (cases.finds(SRC, lvm=None), R.UNKNOWN, f'migsafe lvm check on {SRC}'),
        (cases.finds(DST, lvm=Lvm('', 'pvs does not answer')), R.UNKNOWN, 'pvs does not'),
        (cases.finds(DST, lvm=Lvm('CONFIGURE', 'It sees vg1.')), R.WARNING,
         '(CONFIGURE). It sees vg1')],
    'native-tls': [
        (cases.finds(SRC, tls=None), R.UNKNOWN, 'does not say'),
        (cases.finds(SRC, tls=cases.native()), R.UNKNOWN, f'{DST} does not use it'),
        (tls(source={'client': Certificate('client-cert.pem', 'it is not there', True)}),
         R.WARNING, 'migrate_tls_x509_verify = 0'),
        (tls(destination={'server': Certificate('server-cert.pem', 'it expired')}), R.REFUSED,
         f'{DST}: /etc/pki/qemu/server-cert.pem: it expired'),
        (tls(destination={'ca': Certificate('ca-cert.pem', unread=True)}), R.UNKNOWN,
         'cannot be read'),
        (tls(destination={'server': Certificate('server-cert.pem', names=('cn9', '*.x'))}),
         R.WARNING, f'is for cn9, *.x, and the source expects it to be for {DST}'),
        (dataclasses.replace(tls(destination={
            'server': Certificate('server-cert.pem', names=('cn9', '*.x'))}),
            path=dataclasses.replace(cases.PATH, inbound='')),
         R.NOTE, 'is for cn9, *.x; as '),
        (tls(known=False, source={'ca': Certificate('ca-cert.pem', 'it is not there', True)}),
         R.UNKNOWN, 'without a qemu.conf'),
        (tls(authority='bb'), R.WARNING, 'not the same')],
    'no-path-retry': [
        (no_path(SRC, None), R.UNKNOWN, 'does not show'),
        (no_path(DST, Queueing()), R.WARNING, 'for ever'),
        (no_path(SRC, Queueing(1801.0)), R.WARNING, '1801 seconds'),
        (no_path(SRC, Queueing(None, 60.0, 'device A: for ever, device B: 60 seconds')), R.NOTE,
         'device A: for ever, device B: 60 seconds'),
        (no_path(SRC, Queueing(None, 1801.0, 'A, B')), R.WARNING, 'for ever')],
    'cpu': [
        (cases.finds(DST, cpu=None), R.UNKNOWN, 'could not compare'),
        (cases.finds(DST, cpu=Cpu('ret 0')), R.REFUSED, 'ret 0'),
        (cases.finds(DST, cpu=Cpu(numa=True)), R.NOTE, 'NUMA')],
    'array': [
        (cases.finds(DST, ways=None), R.UNKNOWN, 'rows'),
        (cases.finds(DST, ways=(Way('v', 'fibre_channel'),)), R.NOTE, 'fibre_channel'),
        *((cases.finds(DST, ways=(Way('v', kind),)), R.NOTE, f'by {kind}, which') for kind in (
            'scaleio', 'storpool', 'quobyte', 'lightos', 'nvmeof over RDMA')),
        *((cases.finds(DST, ways=(Way('v', kind),)), R.UNKNOWN, f'by {kind} in which no portal')
          for kind in ('iscsi', 'iser', 'nvmeof', 'rbd')),
        (cases.finds(DST, ways=(Way('v', ''),)), R.UNKNOWN, 'nothing of a connection'),
        (cases.finds(DST, ways=(Way('v', 'iscsi', '::1 3260', 'silent'),)), R.REFUSED,
         'no other of 1 volume(s), such as v. nc -zv ::1 3260'),
        (cases.finds(DST, ways=(Way('v', 'iscsi', 'a 1', 'open'), Way('v', 'iscsi', 'b 1',
                                                                      'refused'))),
         R.WARNING, 'b 1 (refused), so that volumes have fewer paths'),
        (cases.finds(DST, ways=(Way('v', 'iscsi', 'a 1'),)), R.UNKNOWN, 'too many')],
}


class TestChecks(unittest.TestCase):

    def found(self, given, code):
        return [one for one in checks.look(given) if one.code == code]

    def test_all_is_well(self):
        for one in checks.look(cases.good()):
            self.assertIs(R.OK, one.result, one)

    def test_each_finds_what_it_is_for(self):
        self.assertEqual({check.code for check in CHECKS}, set(FOUND))
        for code, tried in FOUND.items():
            for given, result, words in tried:
                found = self.found(given, code)
                self.assertIn(result, [one.result for one in found], found)
                self.assertIn(words, ' '.join(f'{one.detail}. {one.remedy}' for one in found))

    def test_what_was_not_asked_is_never_fine(self):
        unheard = {'source': cases.side(SRC, report=None, problem='silent'),
                   'destination': cases.side(DST, report=None, problem='silent')}
        for sides in (('source',), ('destination',), ('source', 'destination')):
            given = cases.good(**{side: unheard[side] for side in sides})
            for check in CHECKS:
                if set(check.sides) & set(sides):
                    self.assertEqual([R.UNKNOWN], [one.result for one in check.findings(given)],
                                     check.code)

    def test_without_a_destination(self):
        found = {one.code: one for one in checks.look(cases.good(destination=facts.Side('')))}
        self.assertEqual({'server-state', 'identities'}, {
            code for code, one in found.items() if one.result is R.OK})

    def test_a_guest_with_no_disks(self):
        found = self.found(guest(disks=(), volumes=()), 'disks')
        self.assertEqual([R.OK], [one.result for one in found])
        self.assertEqual('there are no volumes',
                         self.found(guest(disks=(), volumes=()), 'connector')[0].detail)

    def test_kinds_of_volumes_that_are_not_looked_at(self):
        found = self.found(guest(volumes=(Volume('v', 'vda', protocol='rbd'),)), 'connector')
        self.assertIn('rbd (not looked at)', found[0].detail)

    def test_how_long_it_takes(self):
        found, = self.found(cases.good(), 'speed')
        self.assertEqual('8.0 GiB of memory over bond1 with 10000 Mbit/s take 7 seconds at the '
                         'least; if the guest writes more than 1250 MB/s it does not get to an '
                         'end by itself', found.detail)
        # without a time-out of Nova's there is none to be too short
        self.assertIs(R.OK, self.found(dataclasses.replace(
            options(SRC, completion_timeout=0), path=cases.way(speed=10).path), 'speed')[0].result)

    def test_how_long_it_takes_with_what_is_written(self):
        self.assertEqual('the guest wrote 105 MB/s to its memory 30 seconds ago: about 8 seconds',
                         self.found(cases.good(), 'dirty-rate')[0].detail)
        self.assertIs(R.OK, self.found(dataclasses.replace(
            options(SRC, completion_timeout=0), path=cases.way(speed=840).path),
            'dirty-rate')[0].result)

    def test_cpus_that_are_not_compared(self):
        self.assertIn('does not compare', self.found(
            cases.finds(DST, cpu=Cpu(compared=False)), 'cpu')[0].detail)

    def test_certificates_of_qemu(self):
        self.assertEqual('the certificates in /etc/pki/qemu fit',
                         self.found(tls(), 'native-tls')[0].detail)
        # what the other side of a certificate is for does not matter
        self.assertIs(R.OK, self.found(tls(
            source={'server': Certificate('server-cert.pem', 'it expired')}),
            'native-tls')[0].result)
        for name, address, wanted in (
                ('cn1', 'CN1', True), ('*.x.org', 'cn1.x.org', True), ('*.x.org', 'x.org', False),
                ('*.x.org', 'a.b.x.org', False), ('*.', 'cn1', False)):
            self.assertIs(wanted, checks.native_tls.fits(name, address), name)

    def test_volumes_that_share_portals(self):
        """A portal is named once, and the worst of what it means for a volume counts."""
        ways = tuple(Way(volume, 'iscsi', portal, reached) for volume in ('v', 'w')
                     for portal, reached in (('a 1', 'silent'), ('b 1', 'open')))
        self.assertEqual([R.WARNING], [one.result for one in self.found(
            cases.finds(DST, ways=ways), 'array')])
        self.assertEqual([R.REFUSED], [one.result for one in self.found(
            cases.finds(DST, ways=(*ways, Way('x', 'iscsi', 'a 1', 'silent'))), 'array')])
        self.assertEqual('there are no volumes',
                         self.found(cases.finds(DST, ways=()), 'array')[0].detail)

    def test_a_portal_that_was_not_tried(self):
        """It may be open, so that its volume is not cut off for sure."""
        self.assertEqual({R.WARNING, R.UNKNOWN}, {one.result for one in self.found(cases.finds(
            DST, ways=(Way('v', 'iscsi', 'a 1', 'silent'), Way('v', 'iscsi', 'b 1'))), 'array')})

    def test_the_document_has_each(self):
        text = DOC.read_text('utf-8')
        for check in CHECKS:
            self.assertIn(f'``{check.code}``', text)


class TestReport(unittest.TestCase):

    def test_there_and_back(self):
        given = cases.made(SRC, GUEST, residue=('R4',))
        self.assertEqual(given, report.read(report.Report, report.payload(given)))
        later = report.payload(given) | {'more': 'x'}
        self.assertEqual(given, report.read(report.Report, later))

    def test_hostile(self):
        """Whatever stands in any place: it is understood or refused, bounded, and no other error.
        """
        values = (None, True, 'yes', '\x1b[31m' * 5, -1, 1 << 90, 1.5, float('nan'), [], [[]], {},
                  {'a': {}}, 'x' * 100_000, ['x'] * 10_000, [{'target': 1}], float('inf'))
        chosen, read = random.Random(1), 0
        for _turn in range(600):
            reply = report.payload(cases.made(SRC, GUEST))
            where = chosen.choice((reply, reply['storage'], reply['options'], reply['guest'],
                                   reply['guest']['disks'][0], reply['guest']['volumes'][0]))
            where[chosen.choice(list(where))] = chosen.choice(values)
            try:
                found = report.read(report.Report, reply)
            except report.NotUnderstood:
                continue
            read += 1
            self.assertNotIn('\\x1b', repr(found))
            self.assertLess(len(repr(found)), 2 * report.MAX_TEXT + 5000)
            checks.look(cases.good(source=cases.side(SRC, found)))
        self.assertLess(20, read)
        for reply in (None, [], 'x', {}, {'host': SRC}):
            self.assertRaises(report.NotUnderstood, report.read, report.Report, reply)

    def test_shared_path(self):
        one, other = report.Directory(True, 7, 5), report.Directory(True, 8, 5)
        for here, there, shared in ((one, one, True), (one, other, False),
                                    (one, report.Directory(), False),
                                    (report.Directory(), one, None),
                                    (one, report.Directory(True, 7, 6), None)):
            self.assertIs(shared, report.shared_path(here, there))


if __name__ == '__main__':
    unittest.main()
