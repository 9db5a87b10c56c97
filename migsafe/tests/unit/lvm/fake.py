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
"""An LVM of a few lines: it goes by the files that the real one goes by."""

import json
import os
import pathlib

from migsafe.lvm import client, errors

UUID = 'AAAAAA-0000-0000-0000-0000-0000-00000{}'


class FakeLvm(client.Client):
    """Sees its disks as lvmlocal.conf and the devices files say.

    :param disks: path -> (number of its uuids, name of its volume group)
    """

    def __init__(self, etc, disks, version='2.03.16(2)'):
        super().__init__()
        self.etc, self.disks, self.lvm_version = pathlib.Path(etc), disks, version
        self.ran = []
        self.fault = lambda arguments: None

    def run(self, *arguments):
        self.ran.append(arguments)
        self.fault(arguments)
        return getattr(self, arguments[0])(*arguments[1:])

    def version(self):
        return self.run('lvm_version_')

    def lvm_version_(self):
        return f'  LVM version:     {self.lvm_version} (2022-05-18)\n'

    def _on(self):
        text = (self.etc / 'lvmlocal.conf').read_text(errors='replace')
        return int('use_devicesfile = 1' in text)

    def lvmconfig(self, _option, kind):
        on = self._on()
        values = ['use_devicesfile=1'] if on else []
        if kind == 'full':
            values = [f'use_devicesfile={on}', 'devicesfile="system.devices"',
                      'filter="a|.*|"', 'global_filter="a|.*|"']
        if self.lvm_version < '2.03.12':
            # one that has no devices file, and two disks that only its filter can hide
            values = [f'global_filter="{self._filter()}"'] if self._filter() else []
        return 'devices {\n' + ''.join(f'\t{value}\n' for value in values) + '}\n'

    def _filter(self):
        text = (self.etc / 'lvmlocal.conf').read_text(errors='replace')
        return 'r|.*|' if 'global_filter = [ "r|.*|" ]' in text else ''

    def _seen(self, arguments):
        if '--devices' in arguments:
            return [path for path in self.disks if path in arguments]
        if self._filter():
            return []
        name = 'system.devices'
        if '--devicesfile' in arguments:
            name = arguments[arguments.index('--devicesfile') + 1]
        file = self.etc / 'devices' / name
        if name == 'system.devices' and not (self._on() and file.exists()):
            return list(self.disks)
        return [path for path in self.disks if f'DEVNAME={path} ' in file.read_text()]

    def pvs(self, *more):
        return self.run('_pvs', *more)

    def _pvs(self, *arguments):
        rows = [{'pv_name': path, 'pv_uuid': UUID.format(n), 'pv_major': '8', 'pv_minor': str(n),
                 'pv_missing': '', 'pv_duplicate': '', 'vg_name': vg, 'vg_uuid': UUID.format(n)}
                for path, (n, vg) in self.disks.items() if path in self._seen(arguments)]
        return json.dumps({'report': [{'pv': rows}]})

    def lvs(self, *more):
        return self.run('_lvs', *more)

    def _lvs(self, *arguments):
        rows = [{'lv_name': 'root', 'lv_uuid': UUID.format(n), 'vg_name': vg, 'lv_active': '',
                 'vg_uuid': UUID.format(n)}
                for path, (n, vg) in self.disks.items() if path in self._seen(arguments)]
        return json.dumps({'report': [{'lv': rows}]})

    def opens(self):
        return 'No devices found\n'

    def lvmdevices(self, _file, name, _add, path):
        if path not in self.disks:
            raise errors.CommandFailed(command='lvmdevices', reason='no such PV')
        file = self.etc / 'devices' / name
        os.makedirs(file.parent, 0o700, exist_ok=True)
        with file.open('a') as stream:
            stream.write(f'IDTYPE=sys_wwid IDNAME=x DEVNAME={path} PVID=y\n')
