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
"""The scenarios. Each is run with the guards and without them, and tells what came of it.

Those that take a volume get it from a prelude, after which the guest was saved.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any

import fabric
import hidden
import host
import lab
import things
from os_brick.encryptors import luks
from os_brick.initiator.connectors import nvmeof

from migsafe.brick.connectors import whereabouts

Found = dict[str, Any]


@dataclasses.dataclass
class Connected:
    """A volume that the host has.

    :param protocol: as os-brick names it
    :param properties: what Cinder has given for it
    :param info: what os-brick has
    """

    protocol: str
    multipath: bool
    brick: Any
    properties: dict[str, Any]
    info: dict[str, Any]

    @property
    def path(self) -> str:
        """Where it is."""
        path: str = self.info['path']
        return path

    def leads(self) -> list[str]:
        """Where a record of it leads to, which has nothing of what os-brick has added."""
        record = {key: value for key, value in self.properties.items()
                  if key not in ('targets', 'device_path')}
        return sorted(os.path.basename(os.path.realpath(path))
                      for path in whereabouts.paths(self.brick, record, 'host'))

    def disconnect(self, **how: Any) -> None:
        """As Nova does."""
        self.brick.disconnect_volume(self.properties, self.info, **how)


def begin(guarded: bool, policy: str = 'refuse') -> None:
    """The first prelude of all scenarios.

    :param policy: ``[migsafe] holder_policy``
    """
    lab.start()
    if guarded:
        lab.shim(policy)


def connect(protocol: str = 'ISCSI', multipath: bool = False,
            by_number: bool = True) -> Connected:
    """The second prelude of most: the host gets its volume.

    :param by_number: what Cinder gave tells of no more than a number
    """
    brick = lab.brick(multipath, protocol)
    properties = lab.by_number(protocol, multipath)
    if protocol == 'NVMEOF' and not by_number:
        properties = lab.nvme_properties(1, multipath)
    return Connected(protocol, multipath, brick, properties, brick.connect_volume(properties))


def main(name: str, *connected: Connected, **arguments: Any) -> None:
    """Run one, and report."""
    # which import this module
    import healthy
    import hostile
    case: Callable[..., Found] = (globals().get(name) or getattr(hostile, name, None)
                                  or getattr(healthy, name))
    lab.report(**case(*connected, **arguments))


def detach(volume: Connected, thing: str, force: bool = False, ignore_errors: bool = False,
           dead_paths: int = 0) -> Found:
    """Put something on a volume, detach; if that fails, take it down and repeat.

    :param dead_paths: how many of its paths fail before the detach
    """
    stands = hidden.made(thing, volume.path)
    for disk in sorted(name for name in host.devices() if name.startswith('sd'))[:dead_paths]:
        host.fail_path(disk)
    before = host.devices()
    leads = lab.attempt(volume.leads)

    def disconnect() -> None:
        volume.disconnect(force=force, ignore_errors=ignore_errors)
    found = {'path': volume.path, 'before': before, 'usable': stands.check(), 'leads': leads,
             'detach': lab.attempt(disconnect), 'after': host.devices(),
             'leads_after': lab.attempt(volume.leads),
             'sessions': host.sessions(), 'usable_after': stands.check(),
             'properties': volume.properties}
    if found['detach']['error']:
        found |= {'down': lab.attempt(stands.down), 'again': lab.attempt(disconnect),
                  'finally': host.devices(), 'sessions_finally': host.sessions()}
    return found


def detach_prepared(protocol: str = 'ISCSI', multipath: bool = False) -> Found:
    """The same with a volume on which a guest has made itself a volume group before."""
    lab.put_guests_lvm('nvme1' if protocol == 'NVMEOF' else 'raw1')
    return detach(connect(protocol, multipath, by_number=False), 'lv_of_the_guest')


def incident_000(volume: Connected) -> Found:
    """node13 starts a guest with the connection_info of node11, where LUN 3 was its root disk.

    On node13 that number leads to the disk of another guest, whose label is CentOS. All that is
    to keep a stale connection_info out of the database has failed.
    """
    centos = '/srv/nvme2' if volume.protocol == 'NVMEOF' else '/srv/raw2'
    host.run('mkfs.ext4', '-q', '-L', 'CentOS', centos)
    host.run('cp', '--sparse=always', centos, '/srv/written')
    volume.disconnect()
    in_the_database = json.dumps(volume.properties)
    if volume.protocol == 'ISCSI':
        lab.be_host_b()
    else:
        lab.swap(volume.protocol)
    properties = json.loads(in_the_database)
    found = {'before': host.devices(),
             'connect': lab.attempt(lambda: volume.brick.connect_volume(properties))}
    host.settle()
    opened = (found['connect']['value'] or {}).get('path')
    return found | {'after': host.devices(), 'sessions': host.sessions(),
                    'label': host.label(opened) if opened else None,
                    'untouched': host.ended('cmp', centos, '/srv/written') == 'ok'}


def half_remapped(volume: Connected) -> Found:
    """Of two paths one has come to lead to another volume, which somebody uses."""
    host.delete(fabric.disk(1, 3))
    lab.remap(3, 2, fabric.INITIATORS[1:])
    fabric.scan(1, 3)
    host.settle()
    stands = things.opened(fabric.disk(1, 3))
    return {'before': host.devices(), 'wwid': host.wwids(), 'usable': stands.check(),
            'detach': lab.attempt(volume.disconnect),
            'after': host.devices(), 'usable_after': stands.check()}


def half_remapped_at_connect(protocol: str) -> Found:
    """Of the two paths in a volume's connection_info one leads to another volume."""
    brick = lab.brick(True, protocol)
    properties = lab.by_number(protocol, True)
    if protocol == 'FIBRE_CHANNEL':
        lab.remap(3, 2, fabric.INITIATORS[1:])
    else:
        properties['target_luns'] = [3, 4]
    found = {'before': host.devices(),
             'connect': lab.attempt(lambda: brick.connect_volume(properties))}
    host.settle()
    return found | {'after': host.devices(), 'wwid': host.wwids(), 'properties': properties,
                    'sessions': host.sessions()}


def unwanted_map(volume: Connected, force: bool = False, ignore_errors: bool = False) -> Found:
    """multipathd has made a map of a volume that Nova wants as a plain path."""
    volume.brick.use_multipath = False
    return detach(volume, 'nothing', force, ignore_errors)


def encrypted(multipath: bool = False) -> Found:
    """Nova's own dm-crypt on top of the volume, put there and taken away by os-brick.

    Cinder has made the header. It takes os-brick long, as it is to take long to guess a key.
    """
    brick = lab.brick(multipath)
    properties = lab.properties(3, multipath, encrypted=True)
    info = brick.connect_volume(properties)
    path = info['path']
    connection = {'driver_volume_type': 'iscsi', 'data': properties | {'device_path': path}}
    host.run('cryptsetup', 'luksFormat', '--batch-mode', '--type', 'luks1', '--key-file', '-',
             '--pbkdf-force-iterations', '1000', path, data=lab.Keys.passphrase())
    layer = luks.LuksEncryptor(None, connection, keymgr=lab.Keys(), encryption_key_id='key')
    layer.attach_volume(None)
    used = {'before': host.devices(), 'usable': host.readable(path),
            'early': lab.attempt(lambda: brick.disconnect_volume(properties, info)),
            'between': host.devices()}
    if used['early']['error']:
        layer.detach_volume()
        used['detach'] = lab.attempt(lambda: brick.disconnect_volume(properties, info))
    return used | {'after': host.devices(), 'sessions': host.sessions()}


def link_to_nothing() -> Found:
    """An encrypted NVMe volume after its dm-crypt was taken away; something has it open."""
    os.makedirs('/dev/disk/by-id', exist_ok=True)
    brick = lab.brick(protocol='NVMEOF')
    properties = lab.nvme_properties(1, encrypted=True)
    info = brick.connect_volume(properties)
    stands = things.opened(os.path.realpath(info['path']))
    # as an encryptor leaves it behind
    host.run('ln', '--symbolic', '--force', '/dev/mapper/crypt-gone', info['path'])
    return {'before': host.devices(), 'usable': stands.check(),
            'detach': lab.attempt(lambda: brick.disconnect_volume(properties, info)),
            'after': host.devices(), 'usable_after': stands.check()}


def failed_connect(volume: Connected) -> Found:
    """A second guest's connect fails while the controller of the first one's tries again."""
    stands, portals = things.opened(volume.path), nvmeof.Portal
    volume.brick.TIME_TO_CONNECT = portals.reconnect_delay = 0
    lab.cut_off(1)
    host.wait_for(lambda: 'connecting' in host.controllers().values())
    found = {'before': host.devices(), 'controllers': host.controllers(),
             'connect': lab.attempt(lambda: volume.brick.connect_volume(volume.properties)),
             'after': host.devices()}
    lab.cut_off(1, False)
    return found | {'usable_after': stands.check()}


def ghost(volume: Connected) -> Found:
    """A logical volume has lost its disk, which comes back, and is then detached."""
    stands = things.lv_mounted_on_partition(volume.path)
    host.delete(volume.path)
    host.settle()
    volume.info = volume.brick.connect_volume(volume.properties)
    host.settle()
    return {'before': host.devices(), 'usable': stands.check(),
            'detach': lab.attempt(volume.disconnect),
            'after': host.devices(), 'sessions': host.sessions()}


def activated_again(volume: Connected) -> Found:
    """What holder_policy = release has let go of, LVM activates again at once."""
    scsi: list[dict[str, str]] = []
    stands = things.lv(volume.path)
    policy = volume.brick.policy
    release = policy._release

    def released(names: list[str]) -> object:
        done = release(names)
        scsi.append(host.devices())
        host.run('vgchange', '-ay', 'guest')
        return done
    policy._release = released
    return {'before': host.devices(), 'between': scsi,
            'detach': lab.attempt(volume.disconnect),
            'after': host.devices(), 'usable_after': stands.check()}


def extend(multipath: bool = False) -> Found:
    """The volume grows while it is attached."""
    brick = lab.brick(multipath)
    lab.add_growing_volume(9)
    properties = lab.properties(9, multipath)
    info = brick.connect_volume(properties)
    lab.grow(9, 64 << 20)
    return {'before': host.devices(),
            'extend': lab.attempt(lambda: brick.extend_volume(properties)),
            'size': host.run('blockdev', '--getsize64', info['path']).strip(),
            'detach': lab.attempt(lambda: brick.disconnect_volume(properties, info)),
            'after': host.devices(), 'sessions': host.sessions()}


def stale(volume: Connected, held: bool) -> Found:
    """Detach with the connection_info of a volume whose LUN number is another's by now."""
    volume.disconnect()
    lab.swap(volume.protocol)
    new = lab.by_number(volume.protocol, volume.multipath, volume_id='of-another-guest')
    new_info = volume.brick.connect_volume(new)
    stands = things.opened(new_info['path']) if held else things.nothing(new_info['path'])
    before = host.devices()
    return {'before': before, 'properties': volume.properties, 'wwid': host.wwids(),
            'detach': lab.attempt(volume.disconnect),
            'after': host.devices(), 'usable_after': stands.check()}


def wrong_at_connect(volume: Connected) -> Found:
    """The LUN number of a volume that was connected once leads to another one now."""
    volume.disconnect()
    lab.swap(volume.protocol)
    found = {'before': host.devices(), 'properties': dict(volume.properties),
             'connect': lab.attempt(lambda: volume.brick.connect_volume(volume.properties))}
    host.settle()
    return found | {'after': host.devices(), 'wwid': host.wwids(), 'sessions': host.sessions()}


def remapped_while_attached(volume: Connected) -> Found:
    """The array maps another volume to the number of one that is in use."""
    lab.mark(1, 'of volume one')
    lab.mark(2, 'of volume two')
    read = [host.start_of(volume.path)]
    lab.remap(3, 2)
    read.append(host.start_of(volume.path))
    return {'read': read, 'wwid': host.wwids(), 'properties': volume.properties,
            'before': host.devices(), 'detach': lab.attempt(volume.disconnect),
            'after': host.devices()}


def no_map(stop: bool) -> Found:
    """Multipath is enforced, and no map comes.

    :param stop: multipathd is not running; else it has orders to leave the disk alone
    """
    if stop:
        host.run('multipathd', 'shutdown', check=False)
    else:
        with open('/etc/multipath.conf', 'a') as conf:
            conf.write('blacklist {\n    devnode "^sd"\n}\n')
        host.run('multipathd', 'reconfigure')
    brick = lab.brick(multipath=True)
    properties = lab.properties(3, multipath=True, enforce_multipath=True)
    found = {'before': host.devices(),
             'connect': lab.attempt(lambda: brick.connect_volume(properties))}
    host.settle()
    return found | {'after': host.devices(), 'sessions': host.sessions()}


def late_holder(volume: Connected) -> Found:
    """Somebody opens the disk for himself while os-brick flushes it."""
    scsi, made = volume.brick._linuxscsi, []
    flush = scsi.flush_device_io

    def flushed(device: str) -> None:
        flush(device)
        made.append(things.mounted(device))
    scsi.flush_device_io = flushed
    return {'before': host.devices(), 'properties': volume.properties,
            'detach': lab.attempt(volume.disconnect),
            'after': host.devices(), 'usable_after': made[0].check()}


def twice(volume: Connected, gone: bool) -> Found:
    """Detach what is detached already.

    :param gone: the disk was deleted behind os-brick's back instead
    """
    if gone:
        host.delete(volume.path)
    else:
        volume.disconnect()
    return {'before': host.devices(), 'after': host.devices(),
            'detach': lab.attempt(volume.disconnect),
            'sessions': host.sessions()}


def two_volumes(volume: Connected) -> Found:
    """One logical volume over two volumes, of which one is detached."""
    second = volume.brick.connect_volume(lab.properties(4))
    stands = things.lv(volume.path, second['path'])
    before = host.devices()
    return {'before': before, 'usable': stands.check(),
            'detach': lab.attempt(volume.disconnect),
            'after': host.devices(), 'usable_after': stands.check()}


def neighbours(volume: Connected) -> Found:
    """Of several volumes the first is in use, and the second is detached."""
    brick = volume.brick
    others = [(found, brick.connect_volume(found)) for found in (
        lab.properties(number, volume.multipath) for number in (4, 5, 6))]
    stands = things.lv(volume.path)
    before = host.devices()
    return {'before': before, 'usable': stands.check(),
            'detach': lab.attempt(lambda: brick.disconnect_volume(*others[0])),
            'after': host.devices(), 'usable_after': stands.check()}


def many(count: int) -> Found:
    """Of many volumes one is in use; it is detached first, and then one that is free."""
    brick = lab.brick()
    numbers = range(10, 10 + count)
    for number in numbers:
        lab.add_volume(number)
    ends = [(found, brick.connect_volume(found))
            for found in map(lab.properties, (numbers[0], numbers[-1]))]
    # those in the middle are found at once, as at the start of a host
    host.run('iscsiadm', '-m', 'session', '--rescan')
    host.settle()
    stands = things.lv(ends[0][1]['path'])
    before = host.devices()
    return {'before': before, 'usable': stands.check(),
            'detach': lab.attempt(lambda: brick.disconnect_volume(*ends[0])),
            'after': host.devices(), 'usable_after': stands.check(),
            'free': lab.attempt(lambda: brick.disconnect_volume(*ends[-1])),
            'finally': host.devices()}


def patrolled(volume: Connected, known: bool = True) -> Found:
    """The array maps another volume to a number in use, and the patrol comes by before and after.

    :param known: whether the volume's identity was noted when it was attached
    """
    from migsafe.brick.guard import identity_check, judge
    from migsafe.brick.guard import policy as guard_policy
    path = volume.path
    wanted = guard_policy.wanted(volume.properties) if known else judge.Wanted('lun-3')
    looks = identity_check.Patrol(lab.shim().guard)
    stands = things.opened(path)
    found = {'known': sorted(wanted.identity), 'noted': host.wwids(),
             'healthy': lab.attempt(lambda: looks.look(path, wanted))}
    lab.remap(3, 2)
    return found | {'wwid': host.wwids(), 'before': host.devices(),
                    'remapped': lab.attempt(lambda: looks.look(path, wanted)),
                    'after': host.devices(), 'usable_after': stands.check()}


def ways(names: list[str], protocol: str = 'ISCSI', multipath: bool = False) -> dict[str, Found]:
    """Detach under one way of using a volume after the other, in one guest."""
    brick = lab.brick(multipath, protocol)
    found: dict[str, Found] = {}
    for name in names:
        properties = (lab.nvme_properties(1, multipath) if protocol == 'NVMEOF' else
                      lab.by_number(protocol, multipath))
        volume = Connected(protocol, multipath, brick, properties,
                           brick.connect_volume(properties))
        host.settle()
        found[name] = detach(volume, name)
        # what was torn away is taken down as well as it goes, for the next
        if not found[name]['detach']['error']:
            found[name]['down'] = lab.attempt(hidden.last().down)
        host.settle()
    return found
