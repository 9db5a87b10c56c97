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
"""What a scenario does in the guest: connect, put something on a disk, look, detach."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import Any

import array_set_up
import fabric
import host
import rtslib_fb as rtslib
from os_brick import privileged as brick_privileged
from os_brick.initiator import connector
from oslo_concurrency import lockutils
from oslo_config import cfg

CONF = cfg.CONF


def start() -> None:
    """os-brick in this process: it is root, so that it needs no daemon that is."""
    import os_brick
    subprocess.Popen = _Popen  # type: ignore[misc]
    CONF([], project='storage')
    lockutils.set_defaults('/run/lock')
    os_brick.setup(CONF)
    brick_privileged.default.set_client_mode(False)
    brick_privileged.brick_privsep_hide_output.set_client_mode(False)


class _Popen(subprocess.Popen[Any]):
    """Without a function to call in the child, which keeps Python from vfork().

    A fork of a process as large as this one takes 35 ms of an emulated processor, and a vfork
    four. oslo.concurrency's function restores SIGPIPE, which Python does too.
    """

    def __init__(self, *args: Any, preexec_fn: object = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


def shim(policy: str = 'refuse') -> Any:
    """Guard os-brick, with what needs root in this process too.

    :param policy: ``[migsafe] holder_policy``
    """
    from migsafe.brick.connectors import shim as connectors_shim
    from migsafe.brick.root import privileged
    privileged.default.set_client_mode(False)
    made = connectors_shim.policy(policy, 'guest')
    connectors_shim.install(made)
    return made


# -- os-brick ---------------------------------------------------------------------------------


def properties(lun: int, multipath: bool = False, **more: Any) -> dict[str, Any]:
    """What Cinder would give for a LUN of this host."""
    portals = [f'{address}:3260' for address in array_set_up.PORTALS]
    found: dict[str, Any] = {
        'volume_id': f'lun-{lun}', 'target_discovered': False, 'access_mode': 'rw',
        'target_iqn': array_set_up.TARGET, 'target_portal': portals[0], 'target_lun': lun}
    if multipath:
        found |= {'target_iqns': [array_set_up.TARGET] * len(portals), 'target_portals': portals,
                  'target_luns': [lun] * len(portals)}
    return found | more


def nvme_properties(number: int, multipath: bool = False, **more: Any) -> dict[str, Any]:
    """What Cinder would give for a namespace."""
    portals = array_set_up.PORTALS[:2 if multipath else 1]
    return {'volume_id': f'namespace-{number}', 'access_mode': 'rw',
            'target_nqn': array_set_up.nqn(number), 'vol_uuid': array_set_up.nvme_uuid(number),
            'portals': [(address, '4420', 'tcp') for address in portals]} | more


def by_number(protocol: str, multipath: bool, **more: Any) -> dict[str, Any]:
    """What Cinder would give for the volume at LUN 3; for NVMe, at number 1 of its subsystem."""
    if protocol == 'NVMEOF':
        return nvme_properties(1, multipath, **{'vol_uuid': None, 'ns_id': '1'} | more)
    if protocol == 'FIBRE_CHANNEL':
        return fabric.properties(3, multipath, **more)
    return properties(3, multipath, **more)


def brick(multipath: bool = False, protocol: str = 'ISCSI') -> Any:
    """A connector as Nova makes it."""
    if protocol == 'FIBRE_CHANNEL':
        fabric.set_up(2 if multipath else 1)
    if multipath and protocol != 'NVMEOF':
        # with "strict" it is a race whether LVM or multipathd takes the first path of a volume
        conf = pathlib.Path('/etc/multipath.conf')
        conf.write_text(conf.read_text().replace('multipaths strict', 'multipaths greedy'))
        host.run('multipathd', 'reconfigure', check=False)
    return connector.InitiatorConnector.factory(
        protocol, None, use_multipath=multipath, device_scan_attempts=3)


class Keys:
    """A key manager with one key, which is its own key."""

    def get(self, context: object, key: str) -> Any:
        """The only one there is."""
        return self

    def managed_type(self) -> str:
        """It is no passphrase."""
        return 'symmetric'

    def get_encoded(self) -> bytes:
        """Its bytes."""
        return b'a secret of this test'

    @classmethod
    def passphrase(cls) -> str:
        """What os-brick makes of it, and Cinder."""
        return cls().get_encoded().hex()


def attempt(function: Callable[[], Any]) -> dict[str, Any]:
    """Do something that may fail.

    :returns: error (name of its class, or None), message, seconds by the guest's clock, value
    """
    begin = time.monotonic()
    try:
        value, error, message = function(), None, ''
    except Exception as failure:
        value, error, message = None, type(failure).__name__, str(failure)
    return {'error': error, 'message': message, 'value': value,
            'seconds': round(time.monotonic() - begin, 3)}


# -- the array --------------------------------------------------------------------------------


def _group() -> rtslib.TPG:
    return next(next(iter(rtslib.FabricModule('iscsi').targets)).tpgs)


def remap(lun: int, number: int, initiators: Sequence[str] = fabric.INITIATORS) -> None:
    """Have a LUN number of this host, or of one adapter of it, lead to another volume."""
    group = _group()
    for acl in group.node_acls:
        if acl.node_wwn in initiators:
            for mapped in list(acl.mapped_luns):
                if mapped.mapped_lun == lun:
                    mapped.delete()
            rtslib.MappedLUN(acl, lun, rtslib.LUN(group, number))


def swap(protocol: str) -> None:
    """Have the number of by_number() lead to volume two, with nobody connected."""
    if protocol == 'NVMEOF':
        swap_namespace()
    else:
        remap(3, 2)


def swap_namespace() -> None:
    """Have the first namespace of the first subsystem be what is in the second."""
    one, two = (array_set_up.NVMET / 'subsystems' / array_set_up.nqn(number) / 'namespaces' / '1'
                for number in (1, 2))
    (two / 'enable').write_text('0')
    (one / 'enable').write_text('0')
    for name in ('device_path', 'device_uuid'):
        (one / name).write_text((two / name).read_text().strip())
    (one / 'enable').write_text('1')


def cut_off(number: int, cut: bool = True) -> None:
    """Take a subsystem off the portals, so that its controllers try to connect again."""
    for port in sorted((array_set_up.NVMET / 'ports').iterdir()):
        link = port / 'subsystems' / array_set_up.nqn(number)
        if cut:
            link.unlink()
        else:
            link.symlink_to(array_set_up.NVMET / 'subsystems' / link.name)


def be_host_b() -> None:
    """Become another host: with another initiator name, LUN 3 is another volume."""
    os.kill(int(pathlib.Path('/run/iscsid.pid').read_text()), signal.SIGTERM)
    name = pathlib.Path('/etc/iscsi/initiatorname.iscsi')
    name.write_text(f'InitiatorName={array_set_up.HOST_B}\n')
    host.run('iscsid')


def add_growing_volume(number: int) -> None:
    """A new volume on a loop device, which is what LIO lets grow."""
    host.run('modprobe', '-a', 'loop', 'target_core_iblock')
    host.run('losetup', '/dev/loop0', array_set_up.backing(f'raw{number}'))
    group = _group()
    acl = next(acl for acl in group.node_acls if acl.node_wwn == array_set_up.HOST_A)
    storage = rtslib.BlockStorageObject(f'raw{number}', '/dev/loop0', array_set_up.serial(number))
    rtslib.MappedLUN(acl, number, rtslib.LUN(group, number, storage))


def grow(number: int, size: int) -> None:
    """Make it larger."""
    os.truncate(f'/srv/raw{number}', size)
    host.run('losetup', '-c', '/dev/loop0')


def add_volume(number: int) -> None:
    """A new volume, which this host sees by the same number."""
    group = _group()
    acl = next(acl for acl in group.node_acls if acl.node_wwn == array_set_up.HOST_A)
    rtslib.MappedLUN(acl, number, array_set_up.add_volume(group, number))


def put_guests_lvm(name: str) -> None:
    """Have a volume hold what a guest has made, before it is connected."""
    shutil.copyfile(array_set_up.GUESTS_LVM, f'/srv/{name}')


def mark(number: int, text: str) -> None:
    """Write to a volume behind everybody's back."""
    with open(f'/srv/raw{number}', 'r+b') as stream:
        stream.write(text.encode().ljust(512, b'\0'))


def report(**found: Any) -> None:
    """What the test on the host gets."""
    pathlib.Path('out', 'result.json').write_text(json.dumps(found, default=repr))
