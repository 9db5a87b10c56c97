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
"""What libvirt on the host says, asked over a connection of its own."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from urllib.parse import quote

from migsafe import exceptions
from migsafe.fencing import libvirt_asker as asker
from migsafe.fencing import programs
from migsafe.fencing.probes.base import Probe, Site
from migsafe.fencing.signs import Observation, Sign
from migsafe.masking import mask

HOST = '{host}'
PYTHON = sys.executable
#: Which machine answers at an address is not proven. So a guest that is not there says only that
#: something lives, and does not let its evacuation through.
SIGNS = {asker.RUNS: Sign.GUEST_RUNS, asker.IDLE: Sign.ANSWERS, asker.ANSWERS: Sign.ANSWERS,
         asker.REFUSED: Sign.REACHABLE, asker.SILENT: Sign.SILENT}


class Libvirt(Probe):
    """Asks in a process of its own, which is ended when the time is over.

    :raises ConfigError: libvirt's Python binding is not installed, or [migsafe] libvirt_uri
        cannot be used
    """

    def __init__(self, site: Site, name: str) -> None:
        super().__init__(site, name)
        if HOST not in site.conf.libvirt_uri:
            raise exceptions.ConfigError(group='migsafe', option='libvirt_uri',
                                         reason=f'it does not contain {HOST}')
        if PYTHON == sys.executable and importlib.util.find_spec('libvirt') is None:
            raise exceptions.ConfigError(
                '"libvirt" in [migsafe] probes needs libvirt-python, which is not installed here: '
                'pip install libvirt-python, or leave it out.')

    def look(self, host: str, instance_uuid: str) -> Sequence[Observation]:
        """Ask once."""
        if host.startswith('-'):
            return [self.saw(Sign.NOTHING, 'its name would be an option')]
        uri = self.site.conf.libvirt_uri.replace(HOST, quote(host, safe=''))
        done = programs.run([PYTHON, '-I', asker.__file__, uri, instance_uuid],
                            os.environ | {'LC_ALL': 'C'}, self.site.conf.probe_timeout)
        words = done.out.splitlines()
        if done.code is None:
            # Where it had not begun, it is whoever looks that is slow.
            return [self.saw(Sign.SILENT if words else Sign.NOTHING, f'{uri}: no answer in time')]
        word, _space, text = words[-1].partition(' ') if words else ('', '', '')
        return [self.saw(SIGNS.get(word, Sign.NOTHING), f'{uri}: {word} {mask(text)}'[:500])]
