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
"""What nova-compute finds around itself, where its libvirt and Nova's rows answer as told."""

import json
import threading
import time
import types
import unittest
from unittest import mock

from nova import exception, objects

from migsafe.brick.kernel import bounded
from migsafe.brick.root import privileged
from migsafe.lvm import errors as lvm_errors
from migsafe.lvm import facts as lvm_facts
from migsafe.lvm import rules
from migsafe.nova.clients import surroundings
from migsafe.preflight import multipath, report
from migsafe.preflight.surroundings import (
    Cpu,
    DirtyRate,
    Lvm,
    NativeTls,
    Queueing,
    Surroundings,
    Way,
)
from migsafe.tests.unit.preflight.cases import UUID
from migsafe.tests.unit.preflight.test_path import HERE, listening


def driver(stats):
    """Nova's, with a libvirt that says this of a guest."""
    connection = mock.Mock()
    connection.lookupByUUIDString.return_value = domain = object()
    connection.domainListGetStats.side_effect = lambda domains, kinds, flags: [
        (domains[0], stats)] if (domains, kinds, flags) == ([domain], 512, 0) else []
    return types.SimpleNamespace(_host=mock.Mock(get_connection=lambda: connection))


class TestWritten(unittest.TestCase):

    def test_measured(self):
        found = surroundings.written(driver({
            'dirtyrate.calc_status': 2, 'dirtyrate.calc_start_time': int(time.monotonic()) - 60,
            'dirtyrate.calc_period': 1, 'dirtyrate.megabytes_per_second': 3}), UUID)
        self.assertEqual(3 << 20, found.rate)
        self.assertLessEqual(60, found.age)

    def test_libvirt_asks_what_it_is_given(self):
        """virConnect.domainListGetStats takes a virDomain only, and eventlet wraps those."""
        class Domain:
            pass

        class Proxy:
            def __init__(self, wrapped):
                self._obj = wrapped

        def stats(domains, _stats, _flags):
            if not all(isinstance(one, Domain) for one in domains):
                raise ValueError('domain list contains non-domain elements')
            return [(domains[0], {'dirtyrate.calc_status': 0})]

        for domain in (Domain(), Proxy(Domain())):
            found = mock.Mock()
            connection = found._host.get_connection.return_value
            connection.lookupByUUIDString.return_value = domain
            connection.domainListGetStats = stats
            self.assertEqual(DirtyRate(), surroundings.written(found, UUID))

    def test_how_nova_helps(self):
        for name, wanted in (('auto_converge', DirtyRate(auto_converge=True)),
                             ('post_copy', DirtyRate(post_copy=True))):
            option = f'live_migration_permit_{name}'
            surroundings.CONF.set_override(option, True, 'libvirt')
            self.addCleanup(surroundings.CONF.clear_override, option, 'libvirt')
            self.assertEqual(wanted, surroundings.written(driver({
                'dirtyrate.calc_status': 0}), UUID))
            surroundings.CONF.clear_override(option, 'libvirt')

    def test_not_measured(self):
        for status in (0, 1):
            self.assertEqual(DirtyRate(), surroundings.written(driver({
                'dirtyrate.calc_status': status}), UUID))
        self.assertIsNone(surroundings.written(driver({}), UUID))


CONFIG = """defaults {
\tpolling_interval 5
\tno_path_retry "fail"
}
devices {
\tdevice {
\t\tvendor "PURE"
\t\tno_path_retry %s
\t}
}
"""


def section(name, *lines):
    return '\n'.join((f'{name} {{', *lines, '}')) + '\n'


def device(vendor, *lines):
    return section('devices', 'device {', f'vendor "{vendor}"', *lines, '}')


class TestQueueing(unittest.TestCase):

    def test_the_section_that_applies_counts(self):
        """In the order of multipathd; a device entry that may not be the guest's is named."""
        queue = 'no_path_retry "queue"'
        features = 'features "1 queue_if_no_path"'
        for text, wanted in (
                (CONFIG % 12, (60, 60)), (CONFIG % '"queue"', (None, None)),
                (CONFIG % 'fail', (0, 0)),
                (CONFIG % '"queue"' + section('overrides', 'no_path_retry 3'), (15, 15)),
                (CONFIG % 3 + section('overrides', queue), (None, None)),
                (CONFIG % 3 + section('overrides', features), (None, None)),
                (CONFIG % 3 + section('overrides', 'features "0"'), (15, 15)),
                (section('defaults', queue) + device('A', 'no_path_retry 2'), (10, 10)),
                (section('defaults', queue) + device('A'), (None, None)),
                (section('defaults', features) + device('A'), (None, None)),
                (section('defaults', features) + device('A', 'features "0"'), (0, 0)),
                (device('A', features), (None, None)), (device('A'), (0, 0)),
                (device('A', f'{features}\nno_path_retry 3'), (15, 15)),
                (device('A', queue) + device('A', 'no_path_retry 1'), (5, 5)),
                (device('A', queue) + device('A'), (None, None)),
                (device('A') + section('blacklist', 'device {', queue, '}'), (0, 0)),
                (device('A') + f'# {queue}', (0, 0))):
            found = multipath.queueing(text)
            self.assertEqual((*wanted, ''), (found.seconds, found.least, found.differ), text)

    def test_what_depends_on_the_disk(self):
        retries = device('A', 'no_path_retry queue') + device('B', 'no_path_retry 12')
        self.assertEqual(Queueing(None, 60.0, 'device A: for ever, device B: 60 seconds'),
                         multipath.queueing(retries))
        self.assertEqual(
            Queueing(None, 15.0, 'the entry for 36: for ever, overrides: 15 seconds'),
            multipath.queueing(retries + section('overrides', 'no_path_retry 3') + section(
                'multipaths', 'multipath {', 'wwid "36"', 'no_path_retry queue', '}')))
        many = ''.join(device(str(number), f'no_path_retry {number}') for number in range(9))
        self.assertEqual('device 8: 40 seconds, device 7: 35 seconds, device 6: 30 seconds, '
                         'device 0: 0 seconds, and others', multipath.queueing(many).differ)

    def test_no_disk_yet(self):
        """The built-in entry of an array is shown when there is a disk of it."""
        for retry in ('fail', 'queue'):
            found = multipath.queueing(section('defaults', f'no_path_retry {retry}'))
            self.assertEqual((None, 0.0), (found.seconds, found.least))
            self.assertIn('no disk here', found.differ)

    def test_what_is_no_number(self):
        self.assertRaises(ValueError, multipath.queueing, CONFIG % 'sometimes')

    def test_what_multipathd_says(self):
        with mock.patch.object(surroundings.rootwrap, 'execute') as execute:
            for text, seconds in ((CONFIG % 12, 60.0), (CONFIG % 'queue', None)):
                execute.return_value = text, ''
                self.assertEqual(Queueing(seconds, seconds), surroundings.queueing())
            execute.return_value = 'error receiving packet', ''
            self.assertRaises(ValueError, surroundings.queueing)


class TestCpu(unittest.TestCase):

    def setUp(self):
        objects.register_all()
        model = types.SimpleNamespace(model='Haswell')
        self.instance = types.SimpleNamespace(
            host='cn1', node='cn1', vcpu_model=model, numa_topology=None)
        self.driver = mock.Mock()
        self.enterContext(mock.patch.object(
            objects.Instance, 'get_by_uuid', return_value=self.instance))
        self.conf = surroundings.CONF
        self.addCleanup(self.conf.clear_override, 'virt_type', 'libvirt')
        self.conf.set_override('virt_type', 'kvm', 'libvirt')

    def ask(self, host='cn2'):
        return surroundings.cpu(self.driver, host, UUID)

    def test_by_the_guest(self):
        self.assertEqual(Cpu(), self.ask())
        self.driver._compare_cpu.assert_called_once_with(
            self.instance.vcpu_model, None, self.instance)
        self.assertIsNone(self.ask('cn1'))

    def test_by_the_source(self):
        self.instance.vcpu_model, self.instance.numa_topology = None, object()
        node = types.SimpleNamespace(cpu_info='{}')
        with mock.patch.object(objects.ComputeNode, 'get_by_host_and_nodename',
                               return_value=node):
            self.assertEqual(Cpu(numa=True), self.ask())
        self.driver._compare_cpu.assert_called_once_with(None, '{}', self.instance)

    def test_refused(self):
        self.driver._compare_cpu.side_effect = exception.InvalidCPUInfo(reason='ret 0')
        self.assertIn('ret 0', self.ask().problem)

    def test_not_compared(self):
        self.conf.set_override('virt_type', 'qemu', 'libvirt')
        self.assertEqual(Cpu(compared=False), self.ask())
        self.assertFalse(self.driver._compare_cpu.called)


class TestLvm(unittest.TestCase):
    """The real check, on an LVM that is not there or says nonsense; the helper is this process."""

    def setUp(self):
        self.enterContext(mock.patch.object(privileged.default, 'client_mode', False))
        # a question that another test has left open
        self.enterContext(mock.patch.dict(bounded._OPEN, clear=True))
        self.enterContext(mock.patch.object(surroundings.files, 'read_by', return_value=[]))
        self.enterContext(mock.patch.object(
            surroundings.services, 'both', return_value=[lvm_facts.Named('vg0', 'nova.conf')]))

    def test_without_lvm(self):
        with mock.patch.object(privileged.client.Client, 'run', side_effect=lvm_errors.NoLvm):
            found = surroundings.lvm()
        self.assertEqual('', found.verdict)
        self.assertIn('on the host itself', found.reason)

    def test_two_that_ask_at_once_get_the_same_answer(self):
        going_on, go_on, found = threading.Event(), threading.Event(), []

        def look(_check):
            going_on.set()
            go_on.wait(60)
            return None, rules.Advice(rules.Verdict.RECOMMEND, ('One.',))

        def ask():
            found.append(surroundings.lvm())

        with mock.patch.object(privileged.checking.Check, 'look', look), \
                mock.patch.object(surroundings, 'LVM_WHOLE', 60):
            asking = [threading.Thread(target=ask) for _ in range(2)]
            asking[0].start()
            going_on.wait(60)
            asking[1].start()
            go_on.set()
            for one in asking:
                one.join()
        self.assertEqual([Lvm('RECOMMEND', 'One.')] * 2, found)

    def test_what_cannot_be_told(self):
        with mock.patch.object(privileged.client.Client, 'run', side_effect=(
                lvm_errors.CommandFailed(command='lvm pvs', reason='no answer'))):
            found = surroundings.lvm()
        self.assertEqual('', found.verdict)
        self.assertIn('no answer', found.reason)

    def test_a_verdict(self):
        advice = rules.Advice(rules.Verdict.RECOMMEND, ('One.', 'Two.'))
        with mock.patch.object(privileged.checking.Check, 'look', return_value=(None, advice)):
            self.assertEqual(Lvm('RECOMMEND', 'One. Two.'), surroundings.lvm())

    def test_a_disk_that_keeps_it(self):
        """It is not waited for; the next one does not wait for the same again."""
        ended = threading.Event()
        self.addCleanup(ended.set)
        with mock.patch.object(privileged, 'lvm_advice', lambda *_: ended.wait(60)), \
                mock.patch.object(surroundings, 'LVM_WHOLE', 0.01):
            for _ in range(2):
                self.assertRaises(bounded.Silent, surroundings.lvm)


class TestOfHost(unittest.TestCase):

    def setUp(self):
        self.enterContext(mock.patch.object(surroundings, 'lvm', lambda: Lvm('UNNEEDED')))

    def test_rows(self):
        objects.register_all()
        with listening() as port:
            rows = [types.SimpleNamespace(
                is_volume=True, volume_id='v', connection_info=json.dumps({
                    'driver_volume_type': 'iscsi', 'data': {
                        'target_portal': f'{HERE}:{port}', 'auth_password': 'hush'}})),
                types.SimpleNamespace(is_volume=True, volume_id='w', connection_info=None),
                types.SimpleNamespace(is_volume=False)]
            with mock.patch.object(objects.BlockDeviceMappingList, 'get_by_instance_uuid',
                                   return_value=rows):
                found = surroundings.of_host(driver({}), 'cn1', UUID)
        self.assertEqual((Way('v', 'iscsi', f'{HERE} {port}', 'open'), Way('w', '')), found.ways)
        self.assertEqual(found, report.read(Surroundings, report.payload(found)))

    def test_what_does_not_answer(self):
        objects.register_all()
        with mock.patch.object(objects.BlockDeviceMappingList, 'get_by_instance_uuid',
                               side_effect=RuntimeError('away')):
            self.assertEqual(Surroundings('cn1', tls=NativeTls(False), lvm=Lvm('UNNEEDED')),
                             surroundings.of_host(driver(None), 'cn1', UUID))
