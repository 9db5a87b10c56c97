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
"""Puts the guarded connectors where os-brick looks for its own.

``get_connector_mapping()`` returns one of three module-level dictionaries of dotted paths, by
architecture. Each entry for iSCSI, iSER, Fibre Channel and NVMe-oF is replaced by a subclass of
the class that stood there. The connectors of other protocols with block devices (LightOS,
ScaleIO, StorPool, Huawei) have ways of their own to remove one, and are left as they are.
"""

from __future__ import annotations

import re
import socket
import sys
from types import MappingProxyType
from typing import Any

from os_brick.initiator import connector
from oslo_privsep import daemon
from oslo_utils import importutils

from migsafe import exceptions
from migsafe.brick.connectors import classes as connectors_classes
from migsafe.brick.connectors.guarded import Guarded
from migsafe.brick.guard import release
from migsafe.brick.guard.policy import Policy
from migsafe.brick.guard.questions import Guard
from migsafe.brick.kernel import host_groups, openers
from migsafe.text import masked

#: The tables of os-brick, one per architecture.
TABLES = ('_connector_mapping_linux', '_connector_mapping_linux_s390x',
          '_connector_mapping_linux_ppc64')
_EXITED = re.compile(r'exited non-zero \((-?\d+)\)')
#: Exit code of the helper's command -> what that means: sudo's own, and those of oslo.rootwrap
#: (cmd.py). 0 stands for every other one.
_HELPER = {
    0: 'its log lines before this one say why. The service must be able to become root, as for '
       'the privsep of Nova itself',
    1: 'sudo refuses, or the helper itself fails; the log lines before this one say which. The '
       'service must be able to become root, as for the privsep of Nova itself',
    96: 'exec_dirs in rootwrap.conf does not have the directory of the privsep-helper that is '
        'installed with migsafe. Add it there',
    97: 'rootwrap.conf cannot be used. Correct it',
    99: 'rootwrap refuses to run privsep-helper as root. Its own rule for that is missing: '
        'upgrade oslo.rootwrap, or add a filter for privsep-helper to a file in filters_path',
}


class ShimError(exceptions.MigsafeError):
    """os-brick is not built as this shim knows it."""

    message = ('os-brick cannot be guarded: %(reason)s; or set [migsafe] device_guards = false to '
               'run without these guards.')


def install(policy: Policy) -> dict[str, str]:
    """Guard every connector that is made from now on. Doing it again changes nothing.

    :returns: protocol -> class that guards it, for this machine's architecture
    :raises ShimError: if os-brick has other tables; nothing is changed then
    """
    missing = [table for table in TABLES if not isinstance(getattr(connector, table, None), dict)]
    if missing:
        raise ShimError(reason=(
            f'os_brick.initiator.connector has no {", ".join(missing)}. Install an os-brick that '
            'this migsafe was tested with'))
    classes = {path: importutils.import_class(path) for table in TABLES
               for path in getattr(connector, table).values()}
    for table in TABLES:
        mapping = getattr(connector, table)
        for protocol, path in list(mapping.items()):
            if not issubclass(classes[path], Guarded):
                mapping[protocol] = _path(classes[path], policy) or path
    return {protocol: path for protocol, path in connector.get_connector_mapping().items()
            if issubclass(importutils.import_class(path), Guarded)}


def check_root(policy: Policy) -> None:
    """Find out at the start, not at the first detach, whether the privsep daemon can be had.

    :raises ShimError: if not, or if check_processes() says so
    """
    try:
        policy.guard.root.opened_by([])
    except Exception as error:
        raise ShimError(reason=_why_no_root(error)) from error
    check_processes()


def check_processes() -> None:
    """Find out at the start whether a QEMU that has a disk open could be seen at all.

    :raises ShimError: if not
    """
    if not openers.everybody():
        raise ShimError(reason=(
            'this service runs in a PID namespace of its own, where the guests that have a disk '
            'open are not seen. Give its container the PID namespace of the host (--pid=host, '
            'hostPID: true)'))


def _why_no_root(error: Exception) -> str:
    """What keeps the daemon from its work, by the step at which it failed, and the cure."""
    if isinstance(error, OSError) and error.filename is not None:
        # NOTE: from here; an error of the daemon comes without the name of a file.
        return (f'the command that starts the privsep daemon of migsafe cannot be run '
                f'({masked(error)}). Install {error.filename}, or name the whole command in '
                '[migsafe_privileged] helper_command')
    if isinstance(error, daemon.FailedToDropPrivileges):
        code = _EXITED.search(str(error))
        step = _HELPER.get(int(code[1]) if code else 0, _HELPER[0])
        return (f'the privsep daemon of migsafe does not start ({masked(error)}): {step}. '
                'Or name the whole command in [migsafe_privileged] helper_command')
    return (f'the privsep daemon of migsafe runs, but cannot find out what has a device open: '
            f'{masked(error)}. Look that [migsafe_privileged] capabilities has not taken away '
            'what it needs, that /proc is whole, and that the daemon is of the same migsafe as '
            'this service')


def _path(cls: type, policy: Policy) -> str | None:
    """The dotted path of a class's guarded subclass: os-brick imports by path."""
    made = connectors_classes.guarded(cls, policy)
    if made is None:
        return None
    known = vars(sys.modules[connectors_classes.__name__])
    name, number = f'Guarded{made.__name__}', 1
    while name in known:
        number += 1
        name = f'Guarded{made.__name__}{number}'
    known[name] = made
    return f'{connectors_classes.__name__}.{name}'


def policy(holder_policy: str, host: str = '', identity_policy: str = 'refuse',
           named: host_groups.Named = MappingProxyType({})) -> Policy:
    """A policy for this host, with what needs root behind privsep.

    :param holder_policy: ``[migsafe] holder_policy``
    :param identity_policy: ``[migsafe] identity_policy``
    :param named: volume groups that are never released, see own.reason()
    """
    from migsafe.brick.root import privileged
    root: Any = privileged
    guard = Guard(host or socket.gethostname(), root)
    return Policy(guard, holder_policy,
                             lambda names: release.release(guard.sysfs, root, names, named),
                             identity_policy)
