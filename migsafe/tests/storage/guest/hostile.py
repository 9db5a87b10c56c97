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
"""Scenarios in which the array, or whoever uses a disk, is against the host."""

from __future__ import annotations

import errno
import glob
import os
import pathlib
import time
from typing import Any

import array_set_up
import cases
import host
import lab
import rtslib_fb as rtslib
import things

Found = dict[str, Any]

OTHER_TARGET, OTHER_PORT = 'iqn.2003-01.org.linux-iscsi.other:target', 3261


def states() -> dict[str, str]:
    """SCSI disk -> what the kernel says of it."""
    return {path.split('/')[3]: pathlib.Path(path).read_text().strip()
            for path in sorted(glob.glob('/sys/block/sd*/device/state'))}


def break_array(how: str, disks: list[str]) -> None:
    """Have the array, or a part of it, not answer any more.

    :param how: nothing, silent, blocked, transport-offline, offline, one-offline or unmapped
    :param disks: the paths of the volume
    """
    if how == 'silent':
        # the packets go nowhere, of which nobody has noticed anything yet. The kernel pings every
        # five seconds since it last heard of the target: that is now, whatever came before.
        for disk in disks:
            host.run('dd', f'if=/dev/{disk}', 'of=/dev/null', 'bs=4096', 'count=1',
                     'iflag=direct')
        host.run('ip', 'address', 'flush', 'dev', 'array')
    elif how in ('blocked', 'transport-offline'):
        seconds = '3600' if how == 'blocked' else '1'
        for path in glob.glob('/sys/class/iscsi_session/session*/recovery_tmo'):
            pathlib.Path(path).write_text(seconds)
        lab._group().enable = False
        host.wait_for(lambda: set(states().values()) == {how})
    elif how in ('offline', 'one-offline'):
        for disk in disks[:1] if how == 'one-offline' else disks:
            host.fail_path(disk)
    elif how == 'unmapped':
        for acl in lab._group().node_acls:
            if acl.node_wwn == array_set_up.HOST_A:
                for mapped in list(acl.mapped_luns):
                    if mapped.mapped_lun == 3:
                        mapped.delete()


def array_down(volume: cases.Connected, how: str, thing: str = 'nothing') -> Found:
    """Detach while the array is in some state.

    :param thing: what stands on the volume
    """
    stands = getattr(things, thing)(volume.path)
    break_array(how, sorted(states()))
    return {'before': host.devices(), 'states': states(), 'usable': stands is not None,
            'detach': lab.attempt(volume.disconnect), 'after': host.devices(),
            'sessions': host.sessions()}


def connection_lost() -> Found:
    """Attach a volume on a host that has lost the connection of another session."""
    target = rtslib.Target(rtslib.FabricModule('iscsi'), OTHER_TARGET)
    group = rtslib.TPG(target, 1)
    group.set_attribute('authentication', '0')
    group.set_attribute('generate_node_acls', '1')
    rtslib.NetworkPortal(group, array_set_up.PORTALS[0], OTHER_PORT)
    group.enable = True
    node = ('iscsiadm', '-m', 'node', '-T', OTHER_TARGET, '-p',
            f'{array_set_up.PORTALS[0]}:{OTHER_PORT}')
    host.run(*node, '--op', 'new')
    host.run(*node, '--login')
    group.enable = False
    host.wait_for(lost)
    # of a volume with several paths each session is looked at
    brick = lab.brick(multipath=True)
    properties = lab.by_number('ISCSI', True)
    connect = lab.attempt(lambda: brick.connect_volume(properties))
    found = {'lost': lost(), 'connect': connect, 'devices': host.devices()}
    return found | {'detach': lab.attempt(lambda: brick.disconnect_volume(
        properties, connect['value'])), 'after': host.devices()}


def leads(multipath: bool) -> Found:
    """The disks that two volumes stand on, one of them below encryption, and what os-brick finds
    by the connection of each."""
    from migsafe.brick.kernel import disks
    brick = lab.brick(multipath)
    given = {name: lab.properties(lun, multipath) for name, lun in (('one', 3), ('other', 4))}
    used = {name: brick.connect_volume(one)['path'] for name, one in given.items()}
    found = {name: sorted(disks.of_path(path)) for name, path in used.items()}
    secret = things.crypt(used['one'])
    found |= {'encrypted': sorted(disks.of_path('/dev/mapper/secret')), 'leads': {
        name: [sorted(disks.of_path(path)) for path in brick.get_volume_paths(one)]
        for name, one in given.items()}}
    secret.down()
    for name, one in given.items():
        brick.disconnect_volume(one, {'type': 'block', 'path': used[name]})
    return found | {'gone': {name: sorted(disks.of_path(path)) for name, path in used.items()}}


def lost() -> int:
    """How many connections the kernel says nothing of, since they have none."""
    found = 0
    for path in glob.glob('/sys/class/iscsi_connection/*/address'):
        try:
            pathlib.Path(path).read_text()
        except OSError as error:
            found += error.errno == errno.ENOTCONN
    return found


def opened_late(volume: cases.Connected, last: bool = False) -> Found:
    """A process opens the disk after all questions were asked, and before it is removed.

    :param last: right before the helper is told to remove it, where there is one
    """
    scsi, made = volume.brick._linuxscsi, []
    flush = scsi.flush_device_io

    def flushed(device: str) -> None:
        flush(device)
        made.append(things.opened(device))
    if last and hasattr(scsi, 'policy'):
        root = scsi.policy.guard.root
        remove = root.remove_scsi

        def removed(name: str, *more: Any) -> Any:
            if not made:
                made.append(things.opened(f'/dev/{name}'))
            return remove(name, *more)
        root.remove_scsi = removed
    else:
        scsi.flush_device_io = flushed
    return {'before': host.devices(), 'detach': lab.attempt(volume.disconnect),
            'after': host.devices(), 'usable_after': made[0].check()}


def late_on_map(volume: cases.Connected) -> Found:
    """A process opens the map after all questions were asked."""
    scsi, made = volume.brick._linuxscsi, []
    flush = scsi.flush_multipath_device

    def flushed(name: str) -> None:
        made.append(things.opened(volume.path))
        flush(name)
    scsi.flush_multipath_device = flushed
    return {'before': host.devices(), 'detach': lab.attempt(volume.disconnect),
            'after': host.devices(), 'usable_after': made[0].check()}


def here_before(volume: cases.Connected, rescan: bool = False) -> Found:
    """A volume is attached for the first time at a number where the disk of another one is open.

    :param rescan: whether somebody has had the kernel look at the disk anew
    """
    stands = things.opened(volume.path)
    lab.swap(volume.protocol)
    if rescan:
        name = os.path.basename(os.path.realpath(volume.path))
        pathlib.Path(f'/sys/block/{name}/device/rescan').write_text('1')
    host.settle()
    new = lab.by_number(volume.protocol, volume.multipath, volume_id='another')
    found = {'before': host.devices(), 'wwid': host.wwids(), 'path': volume.path,
             'connect': lab.attempt(lambda: volume.brick.connect_volume(new))}
    return found | {'after': host.devices(), 'usable_after': stands.check(),
                    'sessions': host.sessions()}


def one_wwid(volume: cases.Connected) -> Found:
    """A copy of a volume in use is attached, which the array gives the same WWID."""
    stands = things.opened(volume.path)
    group = lab._group()
    acl = next(acl for acl in group.node_acls if acl.node_wwn == array_set_up.HOST_A)
    storage = rtslib.FileIOStorageObject(
        'copy', array_set_up.backing('copy'), array_set_up.SIZE, array_set_up.serial(1),
        write_back=True)
    rtslib.MappedLUN(acl, 9, rtslib.LUN(group, 9, storage))
    before = host.devices()
    copy = lab.properties(9, multipath=True, volume_id='copy')
    found = {'before': before, 'path': volume.path,
             'connect': lab.attempt(lambda: volume.brick.connect_volume(copy))}
    host.settle()
    time.sleep(2)
    return found | {'after': host.devices(), 'usable_after': stands.check(),
                    'paths': sorted(os.listdir(
                        f'/sys/block/{os.path.basename(os.path.realpath(volume.path))}/slaves'))}


def same_name(volume: cases.Connected) -> Found:
    """A guest's volume group has the name of one of the host's, of which a part is in no use."""
    stands = things.lv(volume.path)
    host.run('vgchange', '-an', 'guest')
    host.run('modprobe', 'scsi_debug', 'dev_size_mb=64')
    host.settle()
    disk = next(f'/dev/{name}' for name in sorted(os.listdir('/sys/block')) if
                'pseudo' in os.path.realpath(f'/sys/block/{name}'))
    _alone(disk, 'vgcreate', '-y', 'guest', disk)
    for name in ('own', 'idle'):
        _alone(disk, 'lvcreate', '-y', '-L', '8M', '-n', name, 'guest')
    host.run('mkfs.ext4', '-q', '/dev/mapper/guest-own')
    host.run('mount', '/dev/mapper/guest-own', things.MOUNT)
    _alone(volume.path, 'lvchange', '-ay', 'guest/root')
    host.settle()
    return {'before': host.devices(), 'usable': stands.check(),
            'detach': lab.attempt(volume.disconnect), 'after': host.devices(),
            'hosts': [host.readable('/dev/mapper/guest-idle'), things._written()]}


def _alone(disk: str, command: str, *arguments: str) -> None:
    """A command of LVM that sees one disk."""
    host.run(command, '--config',
             f'devices {{ global_filter = [ "a|^{disk}$|", "r|.*|" ] }}', *arguments)
