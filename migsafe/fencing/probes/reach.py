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
"""Whether anything answers at the addresses of a host, in each of its networks."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from migsafe import exceptions
from migsafe.fencing.probes.base import Probe, Site
from migsafe.fencing.signs import Observation, Sign
from migsafe.text import masked

HOST = '{host}'
#: A refusal is an answer, too. One by a firewall in between keeps a dead host from being called
#: dead, which harms nobody.
ANSWERED = (errno.ECONNREFUSED, errno.ECONNRESET)
#: Nobody answered for the address. What is not here is a trouble of whoever looks.
UNANSWERED = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.EHOSTDOWN)


class Reach(Probe):
    """Connects by TCP, says nothing, and closes.

    What is seen in each network counts as the sight of a probe of its own: one that cannot be
    tried does not take the weight from the others.

    :raises ConfigError: [migsafe] reach cannot be used
    """

    def __init__(self, site: Site, name: str) -> None:
        super().__init__(site, name)
        self._places = [_place(one) for one in dict.fromkeys(site.conf.reach)]
        if not self._places:
            raise _refused('it names none, which the probe reach needs')

    def look(self, host: str, instance_uuid: str) -> Sequence[Observation]:
        """Try each network once, within the time of one look for all of them."""
        seconds = self.site.conf.probe_timeout / len(self._places)
        return [self._try(place, place.replace(HOST, host), port, seconds)
                for place, port in self._places]

    def _try(self, place: str, name: str, port: int, seconds: float) -> Observation:
        probe = f'{self.name} {place}:{port}'
        try:
            found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            return Observation(probe, Sign.NOTHING, f'{name} has no address ({masked(error)})')
        signs = {_connect(one, seconds / len(found)) for one in found}
        # All that was tried has to be silent; one address that answers is enough against it.
        sign = next(one for one in (Sign.REACHABLE, Sign.NOTHING, Sign.SILENT) if one in signs)
        return Observation(probe, sign, name)


def _connect(found: tuple[int, int, int, str, tuple[object, ...]], seconds: float) -> Sign:
    family, kind, protocol, _name, address = found
    try:
        with socket.socket(family, kind, protocol) as tried:
            tried.settimeout(seconds)
            tried.connect(address)
    except TimeoutError:
        return Sign.SILENT
    except OSError as error:
        return (Sign.REACHABLE if error.errno in ANSWERED else
                Sign.SILENT if error.errno in UNANSWERED else Sign.NOTHING)
    return Sign.REACHABLE


def _place(text: str) -> tuple[str, int]:
    name, _colon, port = text.rpartition(':')
    if HOST not in name or not port.isdecimal() or not 0 < int(port) < 65536:
        raise _refused(f'{ascii(text)[:80]} is not of the form {HOST}.NETWORK:PORT')
    return name, int(port)


def _refused(why: str) -> exceptions.ConfigError:
    return exceptions.ConfigError(group='migsafe', option='reach', reason=why)
