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
"""The command ``migsafe``."""

import argparse
import importlib.metadata
import sys
from collections.abc import Sequence
from typing import Any

from cliff import app, commandmanager

from migsafe import version
from migsafe.cli import codes, config

#: Name -> where its class is. Only that of the command which is given is imported.
COMMANDS = {
    'status': 'migsafe.cli.hosts:Status',
    'journal list': 'migsafe.cli.log:JournalList',
    'journal show': 'migsafe.cli.log:JournalShow',
    'settle': 'migsafe.cli.settle:Settle',
    'host explain': 'migsafe.cli.host_verdict:HostExplain',
    'host list': 'migsafe.cli.host_verdict:HostList',
    'audit': 'migsafe.cli.audit:Audit',
    'repair': 'migsafe.cli.repair:Repair',
    'exporter': 'migsafe.cli.exporter:Exporter',
    'migrations': 'migsafe.cli.migrations:Migrations',
    'preflight': 'migsafe.cli.preflight:Preflight',
    'host fence': 'migsafe.cli.host_fence:HostFence',
    'evacuate': 'migsafe.cli.evacuate:Evacuate',
    'residue list': 'migsafe.cli.residue:ResidueList',
    'lvm list': 'migsafe.cli.lvm:LvmList',
    'lvm release': 'migsafe.cli.lvm:LvmRelease',
    'lvm check': 'migsafe.cli.lvm_check:LvmCheck',
    'export list': 'migsafe.cli.export:ExportList',
    'export show': 'migsafe.cli.export:ExportShow',
    'export verify': 'migsafe.cli.export:ExportVerify',
    'export revert': 'migsafe.cli.export:ExportRevert',
    'export unfence': 'migsafe.cli.export:ExportUnfence',
    'export adopt': 'migsafe.cli.export_adopt:ExportAdopt',
}


class Migsafe(app.App):
    """The application; without a subcommand it prints its help."""

    NAME = 'migsafe'

    def __init__(self, default_config_files: Sequence[str] = config.DEFAULTS,
                 **streams: Any) -> None:
        self.default_config_files = default_config_files
        # NOTE: without a namespace, because cliff would import all that is in one.
        commands = commandmanager.CommandManager('')
        for name, place in COMMANDS.items():
            commands.commands[name] = importlib.metadata.EntryPoint(name, place, 'migsafe.cli')
        super().__init__(
            description='Live migration of volume-backed VMs as a transaction: what is armed, '
            'what is unsettled, and why.', version=version.version(), command_manager=commands,
            deferred_help=True, **streams)

    def build_option_parser(self, description: str, version: str,
                            argparse_kwargs: Any = None) -> argparse.ArgumentParser:
        """Add the configuration and the exit codes."""
        parser: argparse.ArgumentParser = super().build_option_parser(
            description, version, {'prog': self.NAME, 'epilog': codes.HELP,
                                   'formatter_class': argparse.RawDescriptionHelpFormatter})
        config.add_arguments(parser)
        return parser

    def interact(self) -> None:
        """Print the help and leave: there is no shell."""
        self.parser.print_help(self.stderr)
        raise SystemExit(codes.USAGE)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return int(Migsafe().run(list(sys.argv[1:] if argv is None else argv)))


if __name__ == '__main__':
    sys.exit(main())
