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
"""What the subcommands of ``migsafe`` share."""

import argparse
import os
import sys
from collections.abc import Collection, Iterable
from typing import Any

from cliff import display, lister
from cliff import show as cliff_show
from oslo_config import cfg

from migsafe import exceptions
from migsafe.cli import codes, config, show
from migsafe.journal import files

#: Who started the command; it may go on as the owner of the journal.
CALLER = os.getuid()


def operator() -> str:
    """Return who runs the command, also through sudo."""
    name = files.user_name(CALLER)
    behind = os.environ.get('SUDO_USER', '')
    return f'{behind} (as {name})' if behind and behind != name else name


class Common(display.DisplayCommandBase):
    """Ends with an exit code of its own; messages go to standard error.

    Subclasses set ``exit_code`` while they work.

    :cvar CODES: what the exit codes say
    """

    exit_code = codes.CLEAN
    CODES = codes.HELP

    def get_epilog(self) -> str:
        """Return the exit codes.

        cliff's own reads what all distributions of the environment have installed, to find out
        whose command it is.
        """
        return self.CODES

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Keep the shape of the help."""
        parser: argparse.ArgumentParser = super().get_parser(prog_name)
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        # NOTE: cliff fits a table to a terminal only; what goes to a file is not wrapped.
        parser.set_defaults(fit_width=True)
        return parser

    @property
    def config_files(self) -> list[str]:
        """The configuration files of Nova that are read."""
        return config.chosen(self.app_args.config_files, self.app.default_config_files,
                             self.app_args.config_dirs)

    @property
    def conf(self) -> cfg.ConfigOpts:
        """The configuration that the options before the subcommand name."""
        loaded = config.load(self.app_args.config_files, self.app.default_config_files,
                             self.app_args.config_dirs)
        if self.app_args.compute_host:
            loaded.set_override('host', self.app_args.compute_host)
        return loaded

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run, print what was found, and return the exit code."""
        return super().run(parsed_args) or self.exit_code

    def say(self, message: str) -> None:
        """Print a message for people beside the output for programs."""
        print(message, file=self.app.stderr or sys.stderr)

    def confirm(self, warning: str, host: str) -> None:
        """Let the name of a host be typed before something is done that nobody can undo.

        :raises MigsafeError: it was another name
        """
        self.app.stderr.write(warning)
        self.app.stderr.flush()
        if (self.app.stdin or sys.stdin).readline().strip() != host:
            raise exceptions.MigsafeError(
                f'That was not "{show.text(host)}". Nothing was done.')

    def found(self, messages: list[str]) -> None:
        """Report what is wrong and remember it for the exit code."""
        for message in messages:
            self.say(message)
        if messages:
            self.exit_code = codes.FOUND

    def one_host(self, conf: cfg.ConfigOpts, hosts: Collection[str]) -> None:
        """Say that this is the view of one host, where it is."""
        if not conf.migsafe.connection and len(hosts) < 2:
            self.say(f'This is host {show.text(conf.host)} alone, by its own journal. All hosts: '
                     '--fleet')

    def take_action(self, parsed_args: argparse.Namespace) -> tuple[tuple[str, ...], Any]:
        """Return the columns and the rows."""
        raise NotImplementedError


class Command(Common, lister.Lister):
    """A list.

    :cvar SHORT: the columns of a table for people, if these are fewer than all
    """

    SHORT: tuple[str, ...] = ()

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Any,
                       data: Any) -> Any:
        """Print the list; a missing value is an empty cell."""
        if parsed_args.formatter == 'table' and not parsed_args.columns:
            parsed_args.columns = list(self.SHORT)
        return super().produce_output(parsed_args, column_names, [_cells(row) for row in data])


class One(Common, cliff_show.ShowOne):
    """One thing, a line for each of its values."""

    def produce_output(self, parsed_args: argparse.Namespace, column_names: Any,
                       data: Any) -> Any:
        """Print it; a missing value is an empty cell."""
        return super().produce_output(parsed_args, column_names, _cells(data))


def _cells(row: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(show.Nothing(None) if cell is None else cell for cell in row)
