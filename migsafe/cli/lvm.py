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
"""``migsafe lvm``: lists and deactivates guests' logical volumes that this host activated."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import Any

from oslo_config import cfg

from migsafe import exceptions
from migsafe.brick import errors
from migsafe.brick.guard import policy, release
from migsafe.brick.identity import designators, proof
from migsafe.brick.kernel import disks, holders, host_groups, kinds
from migsafe.brick.kernel import sysfs as kernel_sysfs
from migsafe.cli import base, codes, config
from migsafe.journal import opening, residue, rights
from migsafe.lvm import services
from migsafe.text import masked, shell

COLUMNS = ('Logical volume', 'Device', 'VG uuid', 'Stands on')
RELEASED = ('Released',)
UNPROVEN = ('Nothing is released: nothing on this host proves that %s is a volume that Nova or '
            'Cinder has attached; it could be a disk of the host itself. Look for its WWID among '
            'the volumes of the array. If it is a volume, repeat the command with --unproven.')
WARNING = """\
Nothing on this host proves that %s
is a volume of Nova or Cinder. If it is the host's own, what uses its logical volumes later does
not find them. Compare the WWID with the volume's in the array.
Type "release" to go on: """


class LvmList(base.Command):
    """Show every logical volume that is active here, with the disks that it stands on.

    One that stands on nothing is a ghost: its disk was torn away while it was active. It is
    reported, and the exit code says so.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return one row per logical volume."""
        sysfs = kernel_sysfs.Sysfs()
        rows, ghosts = [], []
        for name in sorted(sysfs.names()):
            found = _lv(sysfs, name)
            if found is None:
                continue
            below = sorted(disks.bottom(sysfs, name) - {name})
            uuids = kinds.lv_uuids(found.dm_uuid)
            rows.append((kinds.lv_label(found.dm_name), name, uuids[0] if uuids else None,
                         ', '.join(below) or 'nothing'))
            if not below:
                ghosts.append(f'{found} is a ghost: its disk was torn away. Stop what uses it, '
                              f'then: dmsetup remove --uuid {shell(found.dm_uuid)}')
        self.found(ghosts)
        return COLUMNS, rows


class LvmRelease(base.Command):
    """Deactivate the logical volumes that stand on exactly these disks, if nothing uses them.

    The disks must be volumes that Nova or Cinder has attached here, by the name of their iSCSI
    target, a domain of libvirt's or the journal.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the disks."""
        parser = super().get_parser(prog_name)
        parser.add_argument('device', nargs='+', metavar='DEVICE',
                            help='a disk or its multipath map; all disks of the volume group')
        parser.add_argument(
            '--unproven', action='store_true', help='also on disks of which nothing on this host '
            'proves that they are volumes of Nova or Cinder; asks for confirmation')
        parser.add_argument('--yes', action='store_true',
                            help='do not ask; for a program that has asked already')
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Release, and return what was released."""
        if os.geteuid():
            raise exceptions.MigsafeError('Only root can deactivate logical volumes; run it with '
                                          'sudo.')
        from migsafe.brick.root import privileged
        privileged.default.set_client_mode(False)
        sysfs = kernel_sysfs.Sysfs()
        names = {name for path in parsed_args.device for name in _disks(sysfs, path)}
        for name in sorted(names):
            if why := host_groups.not_a_volume(sysfs, name):
                raise exceptions.MigsafeError(
                    f'Nothing is released on {", ".join(parsed_args.device)}: {why}, and only '
                    'volumes that Nova or Cinder attach over a network are known to be guests\'. '
                    'If this one is, compare its WWID with the volume\'s, and take down what '
                    '"migsafe lvm list" shows on it with "lvchange -an".')
        root: Any = privileged
        unproven = self._unproven(sysfs, sorted(names), root)
        if unproven and not parsed_args.unproven:
            raise exceptions.MigsafeError(UNPROVEN % '; '.join(unproven))
        if unproven and not parsed_args.yes:
            self._confirm(unproven)
        named = {group.vg_name: group.who for group in services.both(self.config_files)}
        done = release.release(sysfs, root, names, named)
        self.exit_code = codes.REPAIRED if done else codes.CLEAN
        return RELEASED, [(word,) for word in done]

    def _unproven(self, sysfs: kernel_sysfs.Sysfs, names: list[str], root: Any) -> list[str]:
        """The disks that may be the host's own, with what they answer to be."""
        known = proof.known(sysfs)
        left = {name: frozenset(root.look(name, False)['identity'])
                for name in names if name not in known}
        volumes = self._noted() if left else []
        return [f'{name} ({designators.words(identity) or "it does not answer who it is"})'
                for name, identity in left.items() if not proof.noted(identity, volumes)]

    def _noted(self) -> list[tuple[str, designators.Identity]]:
        """The volumes of this host's unsettled migrations."""
        try:
            return _identities(_apart(self.conf))
        except (exceptions.MigsafeError, OSError) as error:
            self.say(f'The journal proves nothing, because it cannot be read: {masked(error)}')
        return []

    def _confirm(self, unproven: list[str]) -> None:
        stdin = self.app.stdin or sys.stdin
        print(WARNING % '; '.join(unproven), end='', file=self.app.stderr or sys.stderr,
              flush=True)
        if stdin.readline().strip() != 'release':
            raise exceptions.MigsafeError('Not confirmed; nothing is released.')


def _apart(conf: cfg.ConfigOpts) -> list[Any]:
    """What the journal says of volumes, read with the rights of its owner; this stays root."""
    url = opening.journal_url(conf, conf.host)
    if url.get_backend_name() != 'sqlite' or not url.database:
        return _said(conf)
    found: list[Any] = rights.apart(url.database, lambda: _said(conf))
    return found


def _said(conf: cfg.ConfigOpts) -> list[Any]:
    """[volume, what it calls itself] of the lines of unsettled migrations."""
    found = []
    with config.opened(conf) as journal:
        for tx in residue.unsettled(journal, None, all_hosts=False):
            for line in journal.records(tx, kinds=('capture', 'intent', 'outcome')):
                payload = line.payload if isinstance(line.payload, dict) else {}
                info = payload.get('connection_info', payload)
                data = info.get('data') if isinstance(info, dict) else None
                if isinstance(data, dict) and data.get(policy.KEY):
                    found.append([str(line.key), data[policy.KEY]])
    return found


def _identities(said: list[Any]) -> list[tuple[str, designators.Identity]]:
    found = []
    for key, words in said:
        with contextlib.suppress(errors.BadPage):
            if identity := designators.read(words):
                found.append((str(key), identity))
    return found


def _lv(sysfs: kernel_sysfs.Sysfs, name: str) -> holders.Node | None:
    try:
        node = holders.node(sysfs, name)
    except kernel_sysfs.Gone:
        return None
    return node if node.kind is kinds.Kind.LV else None


def _disks(sysfs: kernel_sysfs.Sysfs, path: str) -> list[str]:
    """The kernel's names of what a path means: all paths of a map, the disk of a partition."""
    name = kernel_sysfs.kernel_name(path)
    if name is None:
        raise exceptions.MigsafeError(f'{ascii(path)} is no block device of this host; see lsblk.')
    if sysfs.attribute(name, 'dm', 'uuid').startswith('mpath-'):
        return [*sysfs.slaves(name)]
    return [sysfs.disk(name) or name]
