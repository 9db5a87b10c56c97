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
"""haproxy between all services, as in a cloud with several controllers."""

from __future__ import annotations

import signal

from migsafe.tests import servers
from migsafe.tests.cloud import places, processes

NAME = 'haproxy'
_HEAD = """\
global
    maxconn 1000
    log stdout format raw local0 info
defaults
    mode http
    log global
    option httplog
    timeout connect 10s
    timeout client 20m
    timeout server 20m
    retries 0
"""
_SERVICE = """\
listen {name}
    bind {address}:{front}
    server one {address}:{back}
"""


def start() -> None:
    """Start it."""
    conf = places.part('private') / 'haproxy.cfg'
    conf.write_text(_HEAD + ''.join(
        _SERVICE.format(name=name, address=places.CONTROL, front=front,
                        back=front + places.BEHIND) for name, front in places.PORTS.items()))
    processes.start(NAME, [servers.find('haproxy', 'haproxy'), '-db', '-f', str(conf)])


def cut() -> None:
    """Cut all connections, of requests that are under way too."""
    processes.end(NAME, signal.SIGKILL)
    start()
