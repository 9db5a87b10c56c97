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
"""The command ``migsafe-manage``: the schema and the size of the journal."""

import argparse
import datetime
import sys
from collections.abc import Callable, Sequence

from oslo_config import cfg
from oslo_utils import timeutils

from migsafe import exceptions, version
from migsafe.cli import codes, config
from migsafe.journal import opening
from migsafe.ledger import opening as ledger_opening

Action = Callable[[cfg.ConfigOpts, argparse.Namespace], int]


def sync(conf: cfg.ConfigOpts, _args: argparse.Namespace) -> int:
    """Create or upgrade the tables."""
    print(f'The schema of the journal is {opening.sync(conf, conf.host)}.')
    if conf.migsafe.ledger_connection:
        print(f'The schema of the ledger is {ledger_opening.sync(conf, conf.host)}.')
    return codes.CLEAN


def show_version(conf: cfg.ConfigOpts, _args: argparse.Namespace) -> int:
    """Print the revision that is there and the one that is needed."""
    found, wanted = opening.versions(conf, conf.host)
    print(f'found: {found or "none"}\nneeded: {wanted}')
    current = found == wanted
    if conf.migsafe.ledger_connection:
        found, wanted = ledger_opening.versions(conf, conf.host)
        print(f'ledger found: {found or "none"}\nledger needed: {wanted}')
        current = current and found == wanted
    return codes.CLEAN if current else codes.FOUND


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


ACTIONS: dict[str, tuple[Action, str]] = {
    'sync': (sync, 'create the tables, or upgrade them to what this migsafe needs; also those of '
             'the ledger, if [migsafe] ledger_connection is set'),
    'version': (show_version, 'print the schema that is there and the one that is needed; exit '
                'code 3 if they differ'),
    'purge': (purge, 'delete settled transactions; unsettled ones are never deleted'),
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
        prog='migsafe-manage', description='Manage the journal of migsafe.', epilog=codes.HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--version', action='version', version=version.version())
    config.add_arguments(parser)
    groups = parser.add_subparsers(dest='group', required=True, metavar='db')
    actions = groups.add_parser('db', help='the tables of the journal').add_subparsers(
        dest='action', required=True, metavar='|'.join(ACTIONS))
    for name, (_action, text) in ACTIONS.items():
        sub = actions.add_parser(name, help=text, description=text)
        if name == 'purge':
            sub.add_argument('--days', type=days, metavar='N', help='settled more than N days '
                             'ago; default: [migsafe] retention_days')
            sub.add_argument('--all-hosts', action='store_true',
                             help='of all hosts that share this database')
    return parser


def main(argv: Sequence[str] | None = None,
         default_config_files: Sequence[str] = config.DEFAULTS) -> int:
    """Run the command and return its exit code."""
    args = build_parser().parse_args(argv)
    try:
        conf = config.load(args.config_files, default_config_files)
        if args.compute_host:
            conf.set_override('host', args.compute_host)
        return ACTIONS[args.action][0](conf, args)
    except exceptions.MigsafeError as exc:
        print(exc, file=sys.stderr)
        return codes.ERROR


if __name__ == '__main__':
    sys.exit(main())
