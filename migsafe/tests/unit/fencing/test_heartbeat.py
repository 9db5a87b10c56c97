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
"""Heartbeats on shared storage: the process that writes them, and what may lie there."""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import types
import unittest
import uuid
from unittest import mock

from migsafe import exceptions
from migsafe.fencing import beat_reader, beat_writer, beats, probes, programs
from migsafe.fencing.fences import power as fence
from migsafe.fencing.signs import Sign
from migsafe.nova.host import heartbeat
from migsafe.tests.unit.fencing import test_redfish

HOST, MACHINE = 'node13', '4c4c4544-0051-3310-8054-b4c04f4d3132'
BOOT, LATER = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))


class Case(unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.directory = self.enterContext(tempfile.TemporaryDirectory())

    def put(self, host=HOST, **more):
        self.raw(json.dumps({'host': HOST, 'boot_id': BOOT, 'sequence': 7, 'machine': MACHINE}
                            | more).encode(), host)

    def raw(self, text, host=HOST):
        with open(beats.path_of(self.directory, host), 'wb') as handle:
            handle.write(text)

    def look(self, seconds=0.0, host=HOST, meanwhile=lambda: None):
        """What is seen, by what the process of its own does.

        :param meanwhile: what happens between two readings
        """
        def run(arguments, _environment, _seconds):
            self.assertEqual(beat_reader.__file__, arguments[2])
            with mock.patch.object(sys, 'argv', arguments[2:]), \
                    mock.patch.object(beat_reader.time, 'sleep', lambda _seconds: meanwhile()), \
                    contextlib.redirect_stdout(io.StringIO()) as out:
                beat_reader.main()
            return programs.Ended(0, out.getvalue(), '')
        with mock.patch.object(programs, 'run', run):
            return self.really(seconds, host)

    def really(self, seconds=60.0, host=HOST):
        """The same with that process."""
        one, = probes.load(types.SimpleNamespace(conf=types.SimpleNamespace(
            probes=['heartbeat'], heartbeat_directory=self.directory, probe_timeout=seconds)))
        found, = one.look(host, '')
        return found.sign, found.detail


class TestProbe(Case):
    def changes(self, **more):
        """What is seen if this is there once it has waited."""
        self.put()
        return self.look(1e-9 if more.get('sequence') == 7 else 60.0,
                         meanwhile=lambda: self.put(**more))[0]

    def test_goes_on(self):
        self.assertIs(Sign.ANSWERS, self.changes(sequence=8))
        self.assertIs(Sign.ANSWERS, self.changes(sequence=1, boot_id=LATER))

    def test_stands_or_goes_back(self):
        """As an old copy does that the storage brings up again."""
        self.assertIs(Sign.STALE, self.changes(sequence=7))
        self.assertIs(Sign.STALE, self.changes(sequence=6))
        self.assertEqual((Sign.STALE, f'it stands at 6 of boot {BOOT}'), self.look())

    def test_what_may_lie_there(self):
        sign, detail = self.look()
        self.assertIs(Sign.NOTHING, sign)
        self.assertIn('No such file', detail)
        for text in (b'', b'x' * 9000, b'[' * 4000, b'[]', b'{}', b'\xff', b'null', b'"x"', b'7'):
            self.raw(text)
            self.assertIs(Sign.NOTHING, self.look()[0], text[:9])
        for more in ({'host': 'node14'}, {'sequence': True}, {'sequence': -1},
                     {'sequence': 1 << 63}, {'sequence': '7'}, {'sequence': 7.0},
                     {'boot_id': ''}, {'boot_id': None}, {'boot_id': 'x\n'}, {'machine': 'x'},
                     {'machine': [1]}, {'machine': 7}):
            self.put(**more)
            self.assertIs(Sign.NOTHING, self.look()[0], more)

    def test_what_is_no_file(self):
        path = beats.path_of(self.directory, HOST)
        for make in (os.mkdir, lambda path: os.symlink('/etc/passwd', path)):
            make(path)
            self.assertIs(Sign.NOTHING, self.look()[0])
            (os.rmdir if os.path.isdir(path) else os.unlink)(path)

    def test_storage_that_hangs(self):
        """A pipe nobody writes to, which is waited for in the kernel."""
        os.mkfifo(beats.path_of(self.directory, HOST))
        sign, detail = self.really(0.2)
        self.assertIs(Sign.NOTHING, sign)
        self.assertIn('in time', detail)

    def test_process_that_the_kernel_keeps(self):
        """It is left behind, and there is one at most."""
        kept = mock.Mock(returncode=None, pid=1 << 30)
        kept.poll.return_value = None
        with mock.patch.object(programs.subprocess, 'Popen', return_value=kept) as started, \
                mock.patch.object(programs, 'GONE', 0), \
                mock.patch.object(programs, '_LEFT', {}):
            for _ in range(2):
                self.assertIs(Sign.NOTHING, self.really(0)[0])
            started.assert_called_once()
            kept.poll.return_value = kept.returncode = -9
            self.really(0)
            self.assertEqual(2, started.call_count)

    def test_process_that_fails(self):
        for done in (programs.Ended(1, '', 'Traceback'), programs.Ended(0, '', ''),
                     programs.Ended(0, 'x', '')):
            with mock.patch.object(programs, 'run', return_value=done):
                self.assertIs(Sign.NOTHING, self.really()[0])

    def test_names(self):
        for host in ('../x', '/etc/x', '.', '', 'a b', 'n' * 300):
            self.assertEqual(self.directory, os.path.dirname(beats.path_of(self.directory, host)))
            self.assertIs(Sign.NOTHING, self.look(host=host)[0])

    def test_directory_that_is_not_set(self):
        self.directory = ''
        with self.assertRaises(exceptions.ConfigError) as caught:
            self.look()
        self.assertIn('heartbeat_directory', str(caught.exception))


class TestWriter(Case):
    def writer(self, sysinfo):
        connection = types.SimpleNamespace(getSysinfo=sysinfo)
        driver = types.SimpleNamespace(_host=types.SimpleNamespace(
            get_connection=lambda: connection))
        made = heartbeat.Heartbeat(HOST, types.SimpleNamespace(
            heartbeat_directory=self.directory, heartbeat_interval=0.05), driver)
        made.start()
        self.addCleanup(made._process.wait)
        self.addCleanup(made.stop)
        return made

    def wait(self, condition):
        while not condition():
            threading.Event().wait(0.02)

    def now(self):
        return beats.read(self.directory, HOST, 60.0)[0]

    def test_beats_until_it_is_stopped(self):
        made = self.writer(lambda _flags: "<sysinfo type='smbios'><system><entry name='uuid'>"
                           f'{MACHINE.upper()}</entry></system></sysinfo>')
        self.wait(lambda: os.path.exists(beats.path_of(self.directory, HOST)))
        first = self.now()
        self.assertEqual(uuid.UUID(MACHINE), first.machine)
        self.wait(lambda: self.now().after(first))
        self.assertIs(Sign.ANSWERS, self.really()[0])
        made.stop()
        self.assertEqual(0, made._process.wait())
        self.assertEqual([f'{HOST}.beat'], os.listdir(self.directory))
        self.assertIs(Sign.STALE, self.look()[0])

    def test_goes_on_when_it_is_started_again(self):
        def broken(_flags):
            raise OSError('libvirt is away')
        first = self.ended(self.writer(broken), lambda: True)
        self.ended(self.writer(broken), lambda: self.now().after(first))
        self.assertIsNone(first.machine)

    def ended(self, made, condition):
        """The last that one has written, which is stopped then."""
        self.wait(lambda: os.path.exists(beats.path_of(self.directory, HOST)) and condition())
        made.stop()
        made._process.wait()
        return self.now()

    def test_storage_that_is_away_and_comes_back(self):
        path = os.path.join(self.directory, 'mount', 'x.beat')
        with subprocess.Popen(
                [sys.executable, '-I', beat_writer.__file__, path, '0.05', HOST, '', BOOT],
                stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            self.assertIn('cannot be written: No such file', process.stderr.readline())
            os.mkdir(os.path.dirname(path))
            self.wait(lambda: os.path.exists(path))
            process.stdin.close()
            self.assertEqual('', process.stderr.read())


class TestFence(test_redfish.Case):
    """A host that has said that it is another machine than the file of BMCs says."""

    def test_machine(self):
        conf = self.conf()
        conf.heartbeat_directory = self.enterContext(tempfile.TemporaryDirectory())
        Case.put(types.SimpleNamespace(directory=conf.heartbeat_directory, raw=lambda text, host:
                 Case.raw(types.SimpleNamespace(directory=conf.heartbeat_directory), text, host)),
                 machine=test_redfish.OTHER)
        with mock.patch.object(self, 'conf', lambda: conf), \
                self.assertRaises(fence.OtherMachine) as caught:
            self.fence()
        for word in (HOST, MACHINE, test_redfish.OTHER, 'bmc_file', 'heartbeat_directory'):
            self.assertIn(word, str(caught.exception))
        self.assertEqual([], self.resets)
        # the control: without it the host is switched off
        os.unlink(beats.path_of(conf.heartbeat_directory, HOST))
        self.states = ['On', 'On', 'Off']
        with mock.patch.object(self, 'conf', lambda: conf):
            self.fence()


if __name__ == '__main__':
    unittest.main()
