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
"""Two nodes of Galera, as Debian packages them, on loopback."""

import subprocess

import fixtures

from migsafe.tests import servers

PROVIDER = '/usr/lib/galera/libgalera_smm.so'


class Node(servers.MariaDB):
    """One node.

    :param first: the node whose data it begins with, stopped; None for the first one. So it has
        only to be told what came since, and needs no transfer of the whole state, for which
        Galera runs scripts.
    """

    def __init__(self, first: 'Node | None' = None) -> None:
        super().__init__()
        self.first, self.runs = first, False

    def prepare(self) -> None:
        """Make data, or copy those of the first node."""
        self.group, self.transfer = servers.free_port(), servers.free_port()
        self.binary = servers.find('mariadbd', self.package)
        if self.first is None:
            super().prepare()
        else:
            subprocess.run(['cp', '-a', self.first.base / 'data', self.base], check=True)

    def start(self) -> None:
        """Do nothing the first time if the other node has to be there before."""
        if self.first is None or self.runs:
            super().start()
        self.runs = True

    def command(self) -> list[str]:
        """Found a cluster, or join the one of the first node."""
        members = '' if self.first is None else f'127.0.0.1:{self.first.group}'
        options = {
            'base_host': '127.0.0.1', 'base_port': self.group,
            'gmcast.listen_addr': f'tcp://127.0.0.1:{self.group}',
            'ist.recv_addr': f'127.0.0.1:{self.transfer}',
            'ist.recv_bind': f'127.0.0.1:{self.transfer}', 'gcache.size': '16M',
            'repl.causal_read_timeout': 'PT5M'}
        return [
            *super().command(), '--binlog-format=ROW', '--innodb-autoinc-lock-mode=2',
            '--wsrep-on=ON', f'--wsrep-provider={PROVIDER}', '--wsrep-cluster-name=migsafe',
            f'--wsrep-cluster-address=gcomm://{members}',
            f'--wsrep-node-address=127.0.0.1:{self.group}', '--wsrep-sst-method=rsync',
            '--wsrep-provider-options='
            + ';'.join(f'{name}={value}' for name, value in options.items()),
            *(['--wsrep-new-cluster'] if self.first is None else [])]


class Galera(fixtures.Fixture):
    """A cluster; ``nodes`` are its two."""

    def _setUp(self) -> None:
        first = self.useFixture(Node())
        first.stop()
        second = self.useFixture(Node(first))
        first.start()
        second.start()
        self.nodes = first, second
