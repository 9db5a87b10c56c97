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
"""Hosts and configurations of LVM that are drawn; real LVM says what the advice does to them.

LVM is that of this machine, with a /dev, an /etc/lvm and a /run of this process alone. Its disks
are loop devices with other names, and a made-up sysfs says what they are. Nothing is activated, so
that the kernel needs no device-mapper: what is mounted, and what udev's LVM activates by event, is
tried in the virtual machine of the storage tier. Run it as root::

    unshare --mount python -m migsafe.tests.lvm_drawn.main --count 2000
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

from migsafe.brick.kernel import sysfs
from migsafe.lvm import checking, client, render, rules
from migsafe.tests.lvm_drawn import hosts

ETC = pathlib.Path('/etc/lvm')
LOCAL = ETC / 'lvmlocal.conf'
#: LVM goes by its own eyes alone: there is no udev for these devices, and no device-mapper.
BASE = '''devices {
\tsysfs_scan = 0
\tobtain_device_list_from_udev = 0
\texternal_device_info_source = "none"
\tmd_component_detection = 0
\tmultipath_component_detection = 0
}
global {
\tactivation = 0
\tevent_activation = 0
}
'''


class Lvm(client.Client):
    """The real one, where no table of device-mapper is open."""

    def __init__(self, version: str) -> None:
        super().__init__()
        self._version = version

    def opens(self) -> str:
        """Nothing."""
        return ''

    def version(self) -> str:
        """As the real one, but for the number."""
        lines = super().version().split('\n')
        return '\n'.join([f'  LVM version:     {self._version}(2) (2022-05-18)', *lines[1:]])


@contextlib.contextmanager
def own_directories() -> Iterator[None]:
    """Empty ones in the place of those that LVM uses, for this process and its children."""
    os.environ['LVM_SUPPRESS_FD_WARNINGS'] = '1'
    conf = (ETC / 'lvm.conf').read_text()
    subprocess.run(('mount', '--make-rprivate', '/'), check=True)
    for directory in ('/dev', str(ETC), '/run'):
        subprocess.run(('mount', '-t', 'tmpfs', 'tmpfs', directory), check=True)
    os.mknod('/dev/null', 0o666 | 0o020000, os.makedev(1, 3))
    os.mknod('/dev/urandom', 0o666 | 0o020000, os.makedev(1, 9))
    (ETC / 'lvm.conf').write_text(conf)
    yield


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw hosts, and some configurations for each."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--count', type=int, default=200, help='configurations')
    parser.add_argument('--hosts', type=int, default=20, help='hosts')
    parser.add_argument('--seed', type=int, default=1)
    args = parser.parse_args(arguments)
    draw, tally, wrong = random.Random(args.seed), dict.fromkeys(
        ('hosts', 'configurations', 'closed', 'seen', 'commands', 'instead'), 0), []
    with tempfile.TemporaryDirectory(dir='/var/tmp') as top, own_directories():
        for _ in range(args.hosts):
            with hosts.Host(draw, pathlib.Path(top)) as host:
                LOCAL.write_text(BASE)
                host.make()
                tally['hosts'] += 1
                for _ in range(args.count // args.hosts):
                    wrong += _tried(host, draw, tally)
    print(*wrong, sep='\n')
    print(', '.join(f'{count} {name}' for name, count in tally.items()), '; wrong:', len(wrong),
          f'; seed {args.seed}; {Lvm("0").run("version").splitlines()[0].strip()}')
    return 1 if wrong else 0


def _tried(host: hosts.Host, draw: random.Random, tally: dict[str, int]) -> list[str]:
    """One configuration.

    :returns: what is wrong
    """
    settings, found = host.settings(draw), []
    tally['configurations'] += 1
    before = f'{BASE}\n{settings}'
    LOCAL.write_text(before)
    lvm = Lvm(draw.choice(('2.03.11', '2.03.16', '2.03.22')))
    one = checking.Check(client=lvm, sysfs=sysfs.Sysfs(str(host.tree)))
    facts, advice = one.look()
    seen = host.seen()
    closed = rules.open_to(facts) is None
    tally['closed'] += closed
    tally['seen'] += bool(host.own & seen)
    if closed and seen & host.guests:
        found.append('called closed, and a guest is let in')
    commands = render.commands(advice, facts.effective)
    if commands:
        tally['commands'] += 1
        if advice.verdict is rules.Verdict.CONFIGURE:
            found += [reason for reason in (one.change.apply(advice, facts.effective).reason,)
                      if reason]
        else:
            _typed(commands, host)
        found += _missing(host, seen, 'what is printed')
        _clear()
    if advice.instead:
        tally['instead'] += 1
        for text in (before, BASE):
            LOCAL.write_text(f'{text}\ndevices {{ {advice.instead} }}\n')
            found += _missing(host, seen, advice.instead)
    _clear()
    return [f'{what}\n  {settings}\n  {host}\n  {advice.verdict} {advice.reasons}'
            for what in found]


def _missing(host: hosts.Host, before: frozenset[str], what: str) -> list[str]:
    """What LVM does not see any more, or still.

    :param before: what it saw with the drawn configuration, which may hide something already
    """
    seen = host.seen()
    return [f'{what}: {lost}' for lost in (
        'the host misses its own' if not host.own & before <= seen else '',
        'a guest is let in' if host.guests & seen else '') if lost]


def _typed(commands: list[str], host: hosts.Host) -> None:
    """As a person types it who knows what is the host's own."""
    for command in commands:
        command, _, doubt = command.partition('  # only if ')
        file, _, more = command.removeprefix('in ').partition(', add: ')
        if more:
            path = pathlib.Path(file)
            path.write_text(f'{path.read_text()}\n{more}\n')
        elif not doubt or os.path.realpath(command.split()[-1]) in host.paths:
            subprocess.run(('sh', '-ec', command), check=True, capture_output=True)


def _clear() -> None:
    """As before: nobody has written anything."""
    LOCAL.write_text(BASE)
    for file in (*ETC.glob('devices/*'), *ETC.rglob('*.migsafe-*')):
        file.unlink()


if __name__ == '__main__':
    sys.exit(main())
