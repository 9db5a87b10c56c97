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
"""Bridges between the machines, and the wires to each."""

from __future__ import annotations

import subprocess

from migsafe.tests.cloud import places, processes


def make() -> None:
    """One bridge each for services and portals; the control plane is on the first."""
    _ip('link', 'set', 'lo', 'up')
    for bridge in places.BRIDGES:
        _ip('link', 'add', bridge, 'type', 'bridge')
        _ip('link', 'set', bridge, 'up')
        for machine in places.MACHINES:
            _ip('tuntap', 'add', wire(machine, bridge), 'mode', 'tap')
            _ip('link', 'set', wire(machine, bridge), 'up')
            join(machine, bridge)
    _ip('address', 'add', f'{places.CONTROL}/24', 'dev', places.BRIDGES[0])


def wire(machine: str, bridge: str) -> str:
    """The name of the tap device."""
    return f'{bridge}-{machine}'


def join(machine: str, bridge: str) -> None:
    """Put a wire into its bridge."""
    _ip('link', 'set', wire(machine, bridge), 'master', bridge)


def cut(machine: str, bridge: str) -> None:
    """Take it out: packets vanish without a word, as in a switch that lost its table."""
    _ip('link', 'set', wire(machine, bridge), 'nomaster')


def joined(machine: str, bridge: str) -> bool:
    """Whether it is in."""
    shown = subprocess.run(('ip', 'link', 'show', wire(machine, bridge)), check=True,
                           capture_output=True, text=True).stdout
    return f' master {bridge} ' in shown


def _ip(*words: str) -> None:
    processes.run('ip', *words)
