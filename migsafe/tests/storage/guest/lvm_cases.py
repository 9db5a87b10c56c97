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
"""``migsafe lvm check`` on a host that has a volume group of its own and gets a guest's volume."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import time
from typing import Any

import host
import lab

from migsafe.brick.kernel import sysfs
from migsafe.lvm import checking, client, render, rules

Found = dict[str, Any]
ETC = pathlib.Path('/etc/lvm')
LOCAL, DEVICES = ETC / 'lvmlocal.conf', ETC / 'devices' / 'system.devices'
OWN = '/srv/own'
#: Seconds within which udev's LVM has activated what it wants to.
WHILE = 4


def begin() -> None:
    """The first prelude of most scenarios: LVM as Debian has it, and the host's own disk."""
    lab.start()
    no_filter()
    own()


def main(name: str, *volume: Volume, **arguments: Any) -> None:
    """Run one, and report."""
    lab.report(**globals()[name](*volume, **arguments))


# -- the host and the guest -------------------------------------------------------------------


def no_filter() -> None:
    """lvm.conf as Debian has it: the laboratory keeps LVM off the disks of the machine."""
    conf = ETC / 'lvm.conf'
    conf.write_text(conf.read_text().replace('\tglobal_filter = [ "r|/dev/vd|" ]\n', ''))


def own() -> None:
    """A mounted volume group on a local disk."""
    host.run('modprobe', 'scsi_debug', 'dev_size_mb=64')
    host.settle()
    _volume_group('host', f'/dev/{own_disk()}')
    _mount('host', OWN)


def own_disk() -> str:
    """The kernel name of that disk."""
    return next(name for name in sorted(os.listdir('/sys/block')) if name.startswith('sd')
                and 'pseudo' in os.path.realpath(f'/sys/block/{name}'))


def _volume_group(vg: str, path: str) -> None:
    host.run('lvm', data=f'vgcreate -y {vg} {path}\nlvcreate -y -L 8M -n root {vg}\n')


def _mount(vg: str, where: str) -> None:
    host.run('mkfs.ext4', '-q', f'/dev/{vg}/root')
    os.makedirs(where, exist_ok=True)
    host.run('mount', f'/dev/{vg}/root', where)


@dataclasses.dataclass
class Volume:
    """A guest's volume with LVM on it."""

    brick: Any
    properties: dict[str, Any]

    @classmethod
    def made(cls, vg: str = 'guest') -> Volume:
        """The guest has made its volume group, and the volume is attached no more."""
        volume = cls(lab.brick(), lab.properties(3))
        _volume_group(vg, volume.brick.connect_volume(volume.properties)['path'])
        host.run('vgchange', '-an', vg)
        volume.detach()
        return volume

    def attach(self) -> list[str]:
        """As at a start of the guest; what is active then."""
        self.brick.connect_volume(self.properties)
        host.settle()
        time.sleep(WHILE)
        host.settle()
        return active()

    def detach(self) -> None:
        """When nothing holds it."""
        self.brick.disconnect_volume(self.properties, None)
        forget()


def active() -> list[str]:
    """The logical volumes that are active."""
    return sorted(name for name in host.devices().values() if '-' in name)


def forget() -> None:
    """As on a host that has just booted: LVM activates a volume group by event only once."""
    for record in pathlib.Path('/run/lvm').glob('*_online/*'):
        record.unlink()


def rediscovered(disk: str) -> list[str]:
    """The host's own disk goes and comes back; what udev's LVM has activated then."""
    host.run('umount', OWN)
    host.run('dmsetup', 'remove', 'host-root')
    pathlib.Path('/sys/block', disk, 'device', 'delete').write_text('1')
    host.settle()
    forget()
    for scan in pathlib.Path('/sys/class/scsi_host').glob('*/scan'):
        scan.write_text('- - -')
    host.settle()
    time.sleep(WHILE)
    return active()


# -- the check --------------------------------------------------------------------------------


def check(**more: Any) -> checking.Check:
    """As the command makes it."""
    return checking.Check(sysfs=sysfs.Sysfs(), **more)


def look(**more: Any) -> Found:
    """What the command says."""
    one = check(**more)
    found, advice = one.look()
    return {'verdict': advice.verdict.value, 'reasons': list(advice.reasons),
            'keep': [device.path for device in advice.plan.keep] if advice.plan else None,
            'roles': {device.path: group.role.name for group in advice.groups
                      for device in group.vg.devices},
            'commands': render.commands(advice, found.effective),
            'active': [lv.label for lv in render.guests(found, advice.groups)]}


def apply(**more: Any) -> Found:
    """What ``--apply`` does."""
    one = check(**more)
    back = one.put_back()
    found, advice = one.look()
    if advice.verdict is not rules.Verdict.CONFIGURE:
        return {'verdict': advice.verdict.value, 'back': back}
    outcome = one.change.apply(advice, found.effective)
    return {'done': outcome.done, 'reason': outcome.reason, 'backups': list(outcome.backups),
            'back': back}


def files() -> dict[str, Any]:
    """All of /etc/lvm but LVM's own archive: name -> content, mode, owner."""
    found = {}
    for path in sorted(ETC.rglob('*')):
        if path.is_file() and not {'archive', 'backup'} & set(path.parts):
            stat = path.stat()
            found[str(path)] = (path.read_bytes().decode(), stat.st_mode, stat.st_uid)
    return found


def written() -> str:
    """Whether the host's own file system still takes data, down to the disk."""
    return host.ended('dd', 'if=/dev/zero', f'of={OWN}/file', 'bs=4096', 'count=1', 'conv=fsync')


# -- the scenarios ----------------------------------------------------------------------------


def begin_same_name() -> Volume:
    """The guest's volume group has the name that the host's gets."""
    lab.start()
    no_filter()
    volume = Volume.made('host')
    own()
    return volume


def plain(volume: Volume, applied: bool, guest: str = 'guest',
          devices_file: bool = False) -> Found:
    """A guest's volume is attached, detached, and attached again; between the two is the advice.

    :param applied: or only read
    :param guest: name of the guest's volume group
    :param devices_file: LVM is told to use one, as on RHEL 9, and there is none yet
    """
    if devices_file:
        LOCAL.write_text(LOCAL.read_text() + 'devices {\n\tuse_devicesfile = 1\n}\n')
    at_first = volume.attach() if guest == 'guest' else volume.brick.connect_volume(
        volume.properties)['path']
    before = files()
    seen = {'at_first': at_first, 'advice': look()}
    if applied:
        seen['applied'] = apply()
    changed = sorted(name for name, content in files().items() if before.get(name) != content)
    for lv in host.devices().values():
        if lv == 'guest-root':
            host.run('dmsetup', 'remove', lv)
    volume.detach()
    seen |= {'attached': volume.attach(), 'again': look(), 'changed': changed,
             'written': written(), 'pvs': host.run('pvs', '--noheadings', '-o', 'pv_name').split()}
    return seen | {'rediscovered': rediscovered(own_disk())}


class Saboteur(client.Client):
    """The real LVM, after something has emptied the devices file that is in use."""

    def run(self, *arguments: str) -> str:
        """As the real one."""
        if DEVICES.exists() and 'IDTYPE' in DEVICES.read_text():
            DEVICES.write_text('VERSION=1.1.9\n')
        return super().run(*arguments)


class Killed(client.Client):
    """The real LVM, but the one who asks is killed once the change is written."""

    def run(self, *arguments: str) -> str:
        """As the real one."""
        if DEVICES.exists() and 'use_devicesfile = 1' in LOCAL.read_text():
            os._exit(9)
        return super().run(*arguments)


def sabotage() -> Found:
    """What is written would hide the host's own volume group."""
    before = files()
    found = apply(client=Saboteur())
    return {'applied': found, 'same': files() == before, 'written': written(),
            'pvs': host.run('pvs', '--noheadings', '-o', 'pv_name').split(), 'again': look()}


def cut_off() -> Found:
    """It is killed after the write, and before LVM was asked."""
    before = files()
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            apply(client=Killed())
        os._exit(1)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = files() != before
    advice = look()
    check().put_back()
    return {'ended': ended, 'left': left, 'advice': advice,
            'same': {name: files().get(name) == content for name, content in before.items()},
            'listed': DEVICES.exists(), 'applied': apply(), 'again': look()}


def copy() -> Found:
    """A volume holds a copy of the host's own disk: its uuids and names are the same."""
    disk = own_disk()
    brick = lab.brick()
    path = brick.connect_volume(lab.properties(3))['path']
    host.run('dd', f'if=/dev/{disk}', f'of={path}', 'bs=1M', 'count=48', 'conv=fsync')
    host.run('udevadm', 'trigger', '--settle', '--action=change', path)
    before = files()
    return {'advice': look(), 'applied': apply(), 'same': files() == before, 'path': path,
            'own': f'/dev/{disk}'}


def somebodys_filter() -> Found:
    """An administrator's filter lets volumes in: that of the laboratory."""
    lab.start()
    own()
    before = files()
    return {'advice': look(), 'applied': apply(), 'same': files() == before}


def from_network() -> Found:
    """The host has mounted a volume group that is on a disk from the network."""
    lab.start()
    no_filter()
    path = lab.brick().connect_volume(lab.properties(3))['path']
    _volume_group('san', path)
    _mount('san', '/mnt/rescue')
    rescue, not_applied = look(), apply()
    host.run('umount', '/mnt/rescue')
    host.run('mount', '/dev/san/root', '/opt')
    return {'rescue': rescue, 'not_applied': not_applied, 'advice': look(), 'applied': apply(),
            'path': path,
            'pvs': host.run('pvs', '--noheadings', '-o', 'pv_name').split()}


def raw_use() -> Found:
    """What is on a disk from the network is used without a mount, once by nobody that has a name.

    A snapshot is there as well, whose parts are open as soon as it is active.
    """
    lab.start()
    no_filter()
    path = lab.brick().connect_volume(lab.properties(3))['path']
    _volume_group('san', path)
    host.run('lvcreate', '-y', '-s', '-L', '4M', '-n', 'snap', 'san/root')
    host.settle()
    found = {'path': path, 'parts': opened(), 'active': look()}
    with open('/dev/san/root', 'rb'):
        found['process'] = look()
    export = pathlib.Path('/sys/kernel/config/target/core/iblock_77/raw')
    export.mkdir(parents=True)
    (export / 'control').write_text('udev_path=/dev/san/root')
    (export / 'enable').write_text('1')
    found |= {'exported': look(), 'not_applied': apply()}
    export.rmdir()
    return found | {'afterwards': look()}


def opened() -> dict[str, int]:
    """The tables of device-mapper that are open: name -> how often."""
    lines = host.run('dmsetup', 'info', '-c', '--noheadings', '-o', 'name,open').split()
    return {name: int(count) for name, _, count in (line.partition(':') for line in lines)
            if count != '0'}


def filter_of_links() -> Found:
    """The filter of links that is advised where LVM has no devices file, with this LVM."""
    disk = own_disk()
    without = rediscovered(disk)
    host.run('mount', '/dev/host/root', OWN)
    advice = look()
    device = check().look()[1].plan.keep[0]
    LOCAL.write_text(LOCAL.read_text() + 'devices {\n\tglobal_filter = [ "a|^'
                     + device.link + '$|", "r|.*|" ]\n}\n')
    return {'advice': advice, 'without': without, 'filtered': look(), 'link': device.link,
            'with': rediscovered(disk), 'version': host.run('lvm', 'version')}
