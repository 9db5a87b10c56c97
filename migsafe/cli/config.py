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
"""The configuration of the commands: nova.conf, as nova-compute reads it."""

import argparse
import contextlib
import os
import socket
from collections.abc import Iterator, Sequence

from oslo_config import cfg

import migsafe.conf
from migsafe import exceptions, journal

NOVA_CONF = '/etc/nova/nova.conf'
# NOTE: Debian's and Ubuntu's nova-compute reads the second one too, where host may be set.
DEFAULTS = (NOVA_CONF, '/etc/nova/nova-compute.conf', '/etc/migsafe/migsafe.conf')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which configuration, and which host."""
    parser.add_argument(
        '--config-file', action='append', metavar='FILE', dest='config_files',
        help='configuration file, may be given several times; default: those that exist of '
        + ', '.join(DEFAULTS))
    parser.add_argument(
        '--host', metavar='HOST', dest='compute_host',
        help="name of the compute host; default: [DEFAULT] host of the configuration, else this "
        "machine's host name, as in Nova")


def load(given: Sequence[str] | None, defaults: Sequence[str] = DEFAULTS) -> cfg.ConfigOpts:
    """Read the configuration.

    :param given: files that must exist; None means those of ``defaults`` that do
    :raises ConfigError: a file cannot be read; its content, with its passwords, is not shown
    """
    conf = cfg.ConfigOpts()
    conf.register_opts([cfg.StrOpt('host', default=socket.gethostname())])
    migsafe.conf.register_opts(conf)
    chosen = list(given) if given else [name for name in defaults if os.path.exists(name)]
    for name in chosen:
        if not os.access(name, os.R_OK):
            why = 'no permission' if os.path.exists(name) else 'no such file'
            raise exceptions.ConfigError(
                f'{name} cannot be read: {why}. Run the command as the user of nova-compute '
                '(sudo -u nova ...) or as root, or name another file with --config-file.')
    try:
        conf([], project='migsafe', default_config_files=chosen, default_config_dirs=[])
    except cfg.ConfigFileParseError as exc:
        raise exceptions.ConfigError(
            f'{exc.config_file} is no configuration file. Name the right one with '
            '--config-file.') from None
    for option in conf.migsafe:
        _check(conf, option, chosen)
    return conf


def _check(conf: cfg.ConfigOpts, option: str, chosen: Sequence[str]) -> None:
    try:
        getattr(conf.migsafe, option)
    except (cfg.Error, ValueError):
        raise exceptions.ConfigError(
            group='migsafe', option=option, reason='its value is not of the right kind or out of '
            f'bounds. Correct it in {", ".join(chosen)}; the sample file says what it may be'
        ) from None


@contextlib.contextmanager
def opened(conf: cfg.ConfigOpts, host: str | None = None) -> Iterator[journal.Journal]:
    """Open the journal of a host without creating or upgrading anything.

    :param host: instead of that of the configuration
    """
    found = journal.open_journal(conf, host or conf.host, create=False)
    try:
        yield found
    finally:
        found.close()
