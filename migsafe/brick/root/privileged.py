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
"""The operations that need root, each a function of the privsep daemon.

They take kernel names and check them again: the other side of the socket is not root.
"""

from __future__ import annotations

import re
from typing import Any

from oslo_concurrency import processutils
from oslo_privsep import priv_context

from migsafe import exceptions
from migsafe.brick import errors
from migsafe.brick.identity import designators
from migsafe.brick.kernel import kinds, openers
from migsafe.brick.kernel import sysfs as kernel_sysfs
from migsafe.brick.root import claims, disks, qemu_conf
from migsafe.conf import privileged
from migsafe.lvm import checking, client, facts
from migsafe.lvm import errors as lvm_errors
from migsafe.text import masked

default = priv_context.PrivContext(
    'migsafe.brick',
    cfg_section=privileged.SECTION,
    pypath=__name__ + '.default',
    capabilities=privileged.CAPABILITIES,
)

_UUID = re.compile(r'[A-Za-z0-9_-]{1,128}\Z')
#: major:minor; the kernel has 12 and 20 bits for them (include/linux/kdev_t.h).
_NUMBER = re.compile(r'[0-9]{1,4}:[0-9]{1,7}\Z')
#: A question about more disks than this at once is none of ours.
MOST = 10_000


@default.entrypoint
def look(name: str, exclusive: bool) -> dict[str, Any]:
    """Open a disk as one that wants it alone, or open it and ask for its identity.

    :returns: see disks.looked()
    """
    return disks.looked(name, exclusive)


@default.entrypoint
def ask(names: list[str], seconds: float) -> dict[str, dict[str, Any]]:
    """Ask some disks at once who they are.

    :param seconds: for all of them
    :returns: name -> what disks.looked() says
    :raises ValueError: these are no names
    """
    return disks.asked(_texts(names), seconds)


@default.entrypoint
def opened_by(numbers: list[str]) -> list[list[str]]:
    """[major:minor, what] of all that has some devices open, stands on them or exports them.

    :raises OSError: if that is not to be found out
    :raises ValueError: these are no numbers of devices
    """
    if not all(_NUMBER.match(number) for number in _texts(numbers)):
        raise ValueError('numbers of devices are major:minor')
    return [[use.device, use.what] for use in openers.uses(numbers)]


@default.entrypoint
def remove_scsi(name: str, expected: list[str], number: int) -> dict[str, Any]:
    """Remove one SCSI disk from the kernel, if it is the right one and nobody has it.

    Neither by a claim, nor open: that is looked at here, last of all.

    :param expected: the volume's identity; empty if it is not known
    :param number: of a claim that has the disk, whose other disks nobody may have either; 0 for
        none
    :returns: see claims.removed()
    """
    return claims.removed(name, designators.read(expected), number=number)


@default.entrypoint
def claim(names: list[str]) -> dict[str, Any]:
    """Keep everybody else from standing on some disks, until let_go().

    :returns: see claims.claimed()
    :raises ValueError: these are no names
    """
    return claims.claimed(list(dict.fromkeys(_texts(names))))


@default.entrypoint
def let_go(number: int) -> None:
    """Give up a claim.

    :param number: what claim() returned as ``claim``; another one does nothing
    """
    claims.let_go(number)


@default.entrypoint
def remove_lv(name: str, uuid: str) -> dict[str, Any]:
    """Remove one logical volume's device-mapper table, by its uuid.

    :param name: kernel name, which must have that uuid
    :returns: ``done``; else ``reason``
    """
    if not kinds.lv_uuids(uuid) or not _UUID.match(uuid):
        return {'done': False, 'reason': 'that is not the uuid of a logical volume'}
    sysfs = kernel_sysfs.Sysfs()
    try:
        found = sysfs.attribute(name, 'dm', 'uuid')
        if found != uuid:
            return {'done': False, 'reason': f'{name} is another table now'}
        processutils.execute('dmsetup', 'remove', '--uuid', uuid)
    except kernel_sysfs.Gone:
        return {'done': True}
    except (OSError, errors.Unsure, processutils.ProcessExecutionError) as error:
        return {'done': False, 'reason': masked(error)}
    if sysfs.exists(name) and sysfs.attribute(name, 'dm', 'uuid') == uuid:
        return {'done': False, 'reason': 'it is still there, or it came back at once'}
    return {'done': True}


@default.entrypoint
def qemu_settings() -> dict[str, str]:
    """What libvirt's qemu.conf says of migrations, and no more of it.

    :raises OSError: it cannot be read
    """
    return qemu_conf.settings()


@default.entrypoint
def lvm_advice(named: list[list[str]], seconds: float) -> dict[str, str]:
    """What "migsafe lvm check" says of this host; nothing is changed.

    :param named: [volume group, who says so] of services' configurations
    :param seconds: for each command of LVM
    :returns: ``verdict`` and ``reason``, or ``problem``
    :raises ValueError: these are no names
    """
    if not isinstance(named, list) or len(named) > MOST:
        raise ValueError('volume groups are a list')
    pairs = [_texts(pair) for pair in named]
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError('volume groups are pairs of texts')
    check = checking.Check(client=client.Client(timeout=float(seconds)),
                           named=tuple(facts.Named(*pair) for pair in pairs))
    try:
        _found, advice = check.look()
    except lvm_errors.NoLvm as error:
        # In a container it says nothing of the host, whose LVM comes to the same disks.
        return {'problem': f'{masked(error)} Where nova-compute is in a container, run "migsafe '
                           'lvm check" on the host itself'}
    except (exceptions.MigsafeError, OSError) as error:
        return {'problem': masked(error)}
    return {'verdict': advice.verdict.value, 'reason': ' '.join(advice.reasons)}


def _texts(words: Any) -> list[str]:
    """A list of texts, and not too many.

    :raises ValueError: it is none
    """
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise ValueError('names and numbers of disks are texts')
    if len(words) > MOST:
        raise ValueError(f'{len(words)} disks at once are too many, at most {MOST} are looked at')
    return list(words)
