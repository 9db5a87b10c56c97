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
"""What libvirt's qemu.conf says of migrations. Where packages put it, only root reads it."""

from __future__ import annotations

import pathlib
import re

FILE = '/etc/libvirt/qemu.conf'
#: What may be known of it: the rest of the file may have secrets.
NAMES = ('migration_port_min', 'migration_port_max', 'migrate_tls_x509_cert_dir',
         'default_tls_x509_cert_dir')
_LINE = re.compile(r'\s*(\w+)\s*=\s*(?:"([^"]*)"|\'([^\']*)\'|(\d+))\s*(?:#.*)?')
#: The first and the last port that QEMU listens on for a guest that comes in, without such a line.
PORTS = (49152, 49215)


def settings(path: str = FILE) -> dict[str, str]:
    """The settings of :data:`NAMES` that stand in it.

    :raises OSError: it cannot be read
    """
    found = {}
    for line in pathlib.Path(path).read_text('utf-8', 'replace').splitlines():
        match = _LINE.fullmatch(line)
        if match and match[1] in NAMES:
            found[match[1]] = next(part for part in match.groups()[1:] if part is not None)
    return found


def ports(found: dict[str, str]) -> tuple[int, int]:
    """The first and the last port."""
    first, last = (int(text) if text.isdecimal() else default for text, default in (
        (found.get(name, ''), default) for name, default in zip(NAMES, PORTS, strict=False)))
    return first, last
