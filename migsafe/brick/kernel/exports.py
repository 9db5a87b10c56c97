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
"""Devices that this host's kernel exports to others: LIO and nvmet, by what configfs shows.

Neither is a process, and neither has a link in sysfs. LIO's block backstore has an exclusive
claim; its file backstore on a device and nvmet have none, so that nothing else tells of them.
Rules: show() of drivers/target/target_core_{iblock,file,pscsi}.c; ``device_path`` and ``enable``
of drivers/nvme/target/configfs.c.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Iterator

from migsafe.brick.kernel import processes, statx

CONFIGFS = '/sys/kernel/config'
_NUMBER = re.compile(r'Major: (\d+) Minor: (\d+)')
_PLACE = re.compile(r'Channel ID: (\d+) Target ID: (\d+) LUN: (\d+) Host ID: (?:host)?(\d+)')
_FILE = re.compile(r'File: (.+?) +Size: ')


def exports(configfs: str = CONFIGFS, sys: str = '/sys') -> Iterator[tuple[str, str, str]]:
    """(major:minor of a device or '', that of what a file is on or '', what it is exported as).

    :raises OSError: if that is not to be found out
    """
    for info in sorted(pathlib.Path(configfs, 'target', 'core').glob('*/*/info')):
        words = f'LIO backstore {info.parent.parent.name}/{ascii(info.parent.name)[1:-1]}'
        text = _text(info)
        if number := _NUMBER.search(text):
            yield f'{number[1]}:{number[2]}', '', words
        elif place := _PLACE.search(text):
            yield from ((device, '', words) for device in _at(sys, *place.groups()))
        elif file := _FILE.search(text):
            yield (*_path(file[1]), words)
    for path in sorted(pathlib.Path(configfs, 'nvmet', 'subsystems').glob(
            '*/namespaces/*/device_path')):
        if _text(path.parent / 'enable') == '1':
            yield (*_path(_text(path)), f'NVMe target {ascii(path.parts[-4])[1:-1]} namespace '
                                        f'{path.parent.name}')


def _text(path: pathlib.Path) -> str:
    try:
        return path.read_text('utf-8', 'backslashreplace').strip()
    except OSError as error:
        processes.has_ended(error)
        return ''


def _at(sys: str, channel: str, target: str, lun: str, host: str) -> list[str]:
    """The disk at a place of a SCSI host."""
    disks = pathlib.Path(sys, 'class', 'scsi_device', f'{host}:{channel}:{target}:{lun}', 'device',
                         'block')
    return [_text(disk / 'dev') for disk in sorted(disks.glob('*'))]


def _path(path: str) -> tuple[str, str]:
    """What a path leads to, as the first process sees it, who mostly starts such a service.

    A path proves that a device is used, and never that it is not.

    :raises OSError: which device is behind it was not said in time
    """
    for root in ('/proc/1/root', ''):
        try:
            found = statx.kind_in_time(root + path)
        except statx.Unanswered:
            raise
        except OSError:
            continue
        if found is None:
            continue
        device = found.device.removeprefix('b') if found.device.startswith('b') else ''
        return device, '' if found.device else found.on
    return '', ''
