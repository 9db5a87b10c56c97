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
"""The command ``migsafe-manage``: the schema of journal and ledger, the size of the journal."""

import argparse
import dataclasses
import datetime
import sys
from collections.abc import Callable, Sequence

import sqlalchemy as sa
from oslo_config import cfg
from oslo_utils import timeutils

from migsafe import exceptions, version
from migsafe.cli import codes, config, database, keeping
from migsafe.journal import errors, files, grants, opening
from migsafe.ledger import opening as ledger_opening

Action = Callable[[cfg.ConfigOpts, argparse.Namespace], int]


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of database.

    :param prefix: of the lines that ``db version`` prints of it
    """

    prefix: str
    advice: errors.Advice
    url: Callable[[cfg.ConfigOpts, str], sa.URL]
    sync: Callable[[cfg.ConfigOpts, str], str]
    versions: Callable[[cfg.ConfigOpts, str], tuple[str | None, str]]


KINDS = {
    'journal': Kind('', errors.JOURNAL, opening.journal_url, opening.sync, opening.versions),
    'ledger': Kind('ledger ', ledger_opening.CHAIN.advice, ledger_opening.ledger_url,
                   ledger_opening.sync, ledger_opening.versions),
}


def chosen(conf: cfg.ConfigOpts, args: argparse.Namespace) -> list[str]:
    """Return the names of the databases that a command is about.

    Without an option it is what the configuration names, and the file of a journal only where it
    names nothing: a cinder.conf with a ledger must not make one, in a directory that is
    nova-compute's.

    :raises ConfigError: the ledger was asked for, and the configuration names none
    """
    there = {'journal': conf.migsafe.connection, 'ledger': conf.migsafe.ledger_connection}
    if args.ledger and not there['ledger']:
        raise exceptions.ConfigError(
            '[migsafe] ledger_connection is not set in the configuration that was read. Without '
            'it the ledgers are files, which cinder-volume makes and upgrades when it starts. If '
            'it is set elsewhere, name that file: '
            f'{ledger_opening.SYNC.replace("sync", args.action)}')
    return ([name for name in KINDS if getattr(args, name)]
            or [name for name in KINDS if there[name]] or ['journal'])


def _answering(kind: Kind, conf: cfg.ConfigOpts) -> sa.URL:
    url = kind.url(conf, conf.host)
    config.become_owner(url)
    database.check_answers(url, kind.advice)
    return url


def sync(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Create or upgrade the tables."""
    for name in chosen(conf, args):
        url = _answering(KINDS[name], conf)
        if url.get_backend_name() == 'sqlite' and url.database:
            files.check_maker(url.database)
        print(f'The schema of the {name} is {KINDS[name].sync(conf, conf.host)}.')
    return codes.CLEAN


def show_version(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Print the revision that is there and the one that is needed."""
    code = codes.CLEAN
    for name in chosen(conf, args):
        kind = KINDS[name]
        _answering(kind, conf)
        found, wanted = kind.versions(conf, conf.host)
        print(f'{kind.prefix}found: {found or "none"}\n{kind.prefix}needed: {wanted}')
        if found != wanted:
            code = codes.FOUND
    return code


def purge(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Delete what was settled long ago."""
    days = conf.migsafe.retention_days if args.days is None else args.days
    if args.days is None and days == 0:
        print('[migsafe] retention_days = 0 keeps everything. Name a number: --days N')
        return codes.CLEAN
    with config.opened(conf) as journal:
        before = timeutils.utcnow() - datetime.timedelta(days=days)
        count = journal.purge(before, all_hosts=args.all_hosts)
    print(f'Purged {count} transactions settled more than {days} days ago.')
    return codes.CLEAN


def show_grants(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Print SQL for an account of one host, and change nothing."""
    print(grants.script(opening.journal_url(conf, conf.host), conf.host, args.account), end='')
    return codes.CLEAN


ACTIONS: dict[str, tuple[Action, str]] = {
    'sync': (sync, 'create the tables, or upgrade them to what this migsafe needs; a file as its '
             'owner: sudo -u nova migsafe-manage db sync'),
    'version': (show_version, 'print the schema that is there and the one that is needed; exit '
                'code 3 if they differ'),
    'purge': (purge, 'delete settled transactions of the journal; unsettled ones are never '
              'deleted'),
    'check': (keeping.check, 'read all of a file and compare its indexes with its tables; the '
              'service may run'),
    'backup': (keeping.backup, 'copy a file, or what this host has in a journal on a server, '
               'as it is at one moment; the service may run'),
    'restore': (keeping.restore, 'put a copy back where no file is, or where a journal on a '
                'server has nothing of this host; what was not settled then is judged anew by '
                'evidence'),
    'distrust': (keeping.distrust, 'say that what is there is of an earlier time: a server that '
                 'was restored or has lost its last writes, a host whose disk was put back; what '
                 'is not settled is judged anew by evidence; of a shared journal that of all '
                 'hosts'),
    'grants': (show_grants, 'print SQL that lets an account get at the rows of one host alone, '
               'in a journal on a server; for the owner of the tables, after each sync: '
               'migsafe-manage --host HOST db grants ACCOUNT'),
}


def days(text: str) -> int:
    """Return a number of days, for argparse."""
    number = int(text)
    if not 0 <= number <= 36500:
        raise argparse.ArgumentTypeError(f'{number} is not between 0 and 36500')
    return number


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog='migsafe-manage', description='Manage the journal of migsafe, and its ledger of '
        'exports.', epilog=codes.HELP, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--version', action='version', version=version.version())
    config.add_arguments(parser)
    groups = parser.add_subparsers(dest='group', required=True, metavar='db')
    actions = groups.add_parser('db', help='the tables of journal and ledger').add_subparsers(
        dest='action', required=True, metavar='|'.join(ACTIONS))
    for name, (_action, text) in ACTIONS.items():
        sub = actions.add_parser(name, help=text, description=text)
        if name == 'purge':
            sub.add_argument('--days', type=days, metavar='N', help='settled more than N days '
                             'ago; default: [migsafe] retention_days')
            sub.add_argument('--all-hosts', action='store_true',
                             help='of all hosts that share this database')
            continue
        if name == 'grants':
            sub.add_argument('account', metavar='ACCOUNT', help='that is there already, of this '
                             'host alone; on MariaDB and MySQL also ACCOUNT@FROM')
            continue
        if name in ('check', 'backup', 'restore', 'distrust'):
            sub.add_argument('--ledger', action='store_true', help='that of a backend of '
                             'cinder-volume, with --config-file /etc/cinder/cinder.conf --host '
                             'NODE@BACKEND')
            if name in ('backup', 'restore'):
                sub.add_argument('file', metavar='FILE', help='the copy')
            continue
        which = sub.add_mutually_exclusive_group()
        which.add_argument('--journal', action='store_true', help='that of nova-compute; default: '
                           'what [migsafe] connection and ledger_connection name, and without '
                           'both the file of the journal')
        which.add_argument('--ledger', action='store_true', help='that of cinder-volume, with '
                           '--config-file /etc/cinder/cinder.conf')
    return parser


def main(argv: Sequence[str] | None = None,
         default_config_files: Sequence[str] = config.DEFAULTS) -> int:
    """Run the command and return its exit code."""
    args = build_parser().parse_args(argv)
    try:
        conf = config.load(args.config_files, default_config_files, args.config_dirs)
        if args.compute_host:
            conf.set_override('host', args.compute_host)
        return ACTIONS[args.action][0](conf, args)
    except exceptions.MigsafeError as exc:
        print(exc, file=sys.stderr)
        return codes.ERROR


if __name__ == '__main__':
    sys.exit(main())
