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

import sqlalchemy as sa
from oslo_config import cfg

import migsafe.conf
from migsafe import exceptions, journal
from migsafe.cli import database
from migsafe.conf import files
from migsafe.journal import opening, rights

NOVA_CONF = '/etc/nova/nova.conf'
# What nova-compute reads by itself, with the directories of the same names.
DEFAULTS = (NOVA_CONF, '/etc/nova/nova-compute.conf')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say which configuration, and which host."""
    parser.add_argument(
        '--config-file', action='append', metavar='FILE', dest='config_files',
        help='configuration file, may be given several times; default: those that exist of '
        + ', '.join(DEFAULTS))
    parser.add_argument(
        '--config-dir', action='append', metavar='DIR', dest='config_dirs',
        help='directory whose .conf files are read last, may be given several times; '
        'default, if no file is given: those that exist of '
        + ', '.join(f'{name}.d' for name in DEFAULTS))
    parser.add_argument(
        '--host', metavar='HOST', dest='compute_host',
        help="name of the compute host; default: [DEFAULT] host of the configuration, else this "
        "machine's host name, as in Nova")


def chosen(given: Sequence[str] | None, defaults: Sequence[str] = DEFAULTS,
           directories: Sequence[str] | None = None) -> list[str]:
    """Return the files to read, in the order of oslo.config.

    :param given: files; none means those of ``defaults`` that exist
    :param directories: None means those beside ``defaults``, unless files are given, which may be
        those of another service
    :raises ConfigError: a directory cannot be read
    """
    if not directories:
        directories = [] if given else files.beside(defaults)
    for name in directories:
        if not os.path.isdir(name) or not os.access(name, os.R_OK | os.X_OK):
            raise _unreadable(name, '--config-dir')
    return [*(given or [name for name in defaults if os.path.exists(name)]),
            *files.of_directories(directories)]


def load(given: Sequence[str] | None, defaults: Sequence[str] = DEFAULTS,
         directories: Sequence[str] | None = None) -> cfg.ConfigOpts:
    """Read the configuration; the parameters are those of :func:`chosen`.

    :raises ConfigError: a file cannot be read; its content, with its passwords, is not shown
    """
    conf = cfg.ConfigOpts()
    conf.register_opts([cfg.StrOpt('host', default=socket.gethostname())])
    migsafe.conf.register_opts(conf)
    names = chosen(given, defaults, directories)
    for name in names:
        if not os.access(name, os.R_OK):
            raise _unreadable(name, '--config-file')
    try:
        # NOTE: the environment of a command is not that of the service; see conf.environment.
        conf([], project='migsafe', default_config_files=names, default_config_dirs=[],
             use_env=False)
    except cfg.ConfigFileParseError as exc:
        raise exceptions.ConfigError(
            f'{exc.config_file} is no configuration file. Name the right one with '
            '--config-file.') from None
    for option in conf.migsafe:
        _check(conf, option, names)
    return conf


def _unreadable(name: str, option: str) -> exceptions.ConfigError:
    why = ('no permission' if os.path.exists(name)
           else f'no such {"file" if option == "--config-file" else "directory"}')
    return exceptions.ConfigError(
        f'{name} cannot be read: {why}. Run the command as the user of nova-compute '
        f'(sudo -u nova ...), or name another one with {option}.')


def _check(conf: cfg.ConfigOpts, option: str, names: Sequence[str]) -> None:
    try:
        getattr(conf.migsafe, option)
    except (cfg.Error, ValueError):
        raise exceptions.ConfigError(
            group='migsafe', option=option, reason=f'its value must be {_allowed(option)}. '
            f'Correct it in {", ".join(names)}') from None


def _allowed(name: str) -> str:
    """What a value of an option of [migsafe] may be, in words."""
    kind = next(option.type for option in migsafe.conf.migsafe.OPTS if option.dest == name)
    if choices := getattr(kind, 'choices', None):
        return f'one of {", ".join(map(str, choices))}'
    if isinstance(kind, cfg.types.Boolean):
        return 'true or false'
    least, most = getattr(kind, 'min', None), getattr(kind, 'max', None)
    bounds = (f' from {least} to {most}' if most is not None else f' of at least {least}'
              if least is not None else '')
    return f'a whole number{bounds}' if isinstance(kind, cfg.types.Integer) else 'text'


def become_owner(url: sa.URL) -> None:
    """Go on as the user who owns a SQLite file, if root runs the command; for good.

    :raises JournalInsecure: root cannot become that user
    """
    if url.get_backend_name() == 'sqlite' and url.database:
        rights.become_owner(url.database)


@contextlib.contextmanager
def opened(conf: cfg.ConfigOpts, host: str | None = None) -> Iterator[journal.Journal]:
    """Open the journal of a host, as its owner, without creating or upgrading anything.

    :param host: instead of that of the configuration
    :raises JournalUnavailable: it cannot be used, or its server does not answer
    """
    name = host or conf.host
    url = opening.journal_url(conf, name)
    become_owner(url)
    database.check_answers(url)
    found = journal.open_journal(conf, name, create=False)
    try:
        yield found
    finally:
        found.close()
