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
"""Made-up sysfs trees."""

from __future__ import annotations

import pathlib

import fixtures

from migsafe.brick.kernel import sysfs

VG = 'zLkGGYQw0uMeDmHz4Gk1aVxqqXvS0aaa'
LV = 'xP2r0W3kqC1vXgJm0pXw7yM4dTqZ0bbb'
WWID = '3600140512345678901234567890abcde'


class Tree(fixtures.Fixture):
    """A /sys/class/block that grows device by device."""

    def _setUp(self):
        self.root = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.top = self.root / 'class' / 'block'
        self.top.mkdir(parents=True)
        (self.root / 'dev' / 'block').mkdir(parents=True)
        self._count = 0

    @property
    def sysfs(self):
        return sysfs.Sysfs(str(self.root))

    def disk(self, name):
        """A device with nothing above it."""
        self._count += 1
        path = self.top / name
        (path / 'holders').mkdir(parents=True)
        (path / 'slaves').mkdir()
        (path / 'dev').write_text(f'8:{self._count}\n')
        (self.root / 'dev' / 'block' / f'8:{self._count}').symlink_to(path)
        return name

    def partition(self, disk, number=1):
        """A partition: a directory inside its disk, and a link to it beside the disk."""
        name = f'{disk}{number}'
        path = self.top / disk / name
        (path / 'holders').mkdir(parents=True)
        self._count += 1
        (path / 'dev').write_text(f'8:{self._count}\n')
        (path / 'partition').write_text(f'{number}\n')
        (self.top / name).symlink_to(path)
        return name

    def dm(self, name, uuid, *below, dm_name=''):
        """A device-mapper table on some devices."""
        self.disk(name)
        (self.top / name / 'dm').mkdir()
        (self.top / name / 'dm' / 'uuid').write_text(f'{uuid}\n')
        (self.top / name / 'dm' / 'name').write_text(f'{dm_name or uuid}\n')
        for one in below:
            self.hold(one, name)
        return name

    def hold(self, below, above):
        """One stands on another."""
        (self.top / below / 'holders' / above).symlink_to(self.top / above)
        slaves = self.top / above / 'slaves'
        slaves.mkdir(exist_ok=True)
        (slaves / below).symlink_to(self.top / below)

    def mpath(self, name='dm-0', paths=('sda', 'sdb'), wwid=WWID):
        """A multipath map over new disks."""
        return self.dm(name, f'mpath-{wwid}', *(self.disk(p) for p in paths), dm_name='mpatha')

    def lv(self, name, *below, dm_name='vg0-root'):
        """A logical volume."""
        return self.dm(name, f'LVM-{VG}{LV}', *below, dm_name=dm_name)
