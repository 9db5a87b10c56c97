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
"""The actions of ``migsafe-manage db`` that check, copy and put back a journal or ledger."""

import argparse
import contextlib
import os
from collections.abc import Iterator

import sqlalchemy as sa
from oslo_config import cfg

from migsafe import exceptions
from migsafe.cli import codes, config, database
from migsafe.journal import api, backups, errors, files, moving, opening, schema, store, whole
from migsafe.ledger import models as ledger_models
from migsafe.ledger import opening as ledger_opening
from migsafe.ledger import rows as ledger_rows
from migsafe.transaction import history

REASON = 'the journal was restored from a backup, or is otherwise older than what happened'


def _meant(conf: cfg.ConfigOpts, args: argparse.Namespace) -> tuple[sa.URL, schema.Chain]:
    """Return the database that is meant, and go on as the owner of its file."""
    chain = ledger_opening.CHAIN if args.ledger else schema.JOURNAL
    url = (ledger_opening.ledger_url if args.ledger else opening.journal_url)(conf, conf.host)
    config.become_owner(url)
    return url, chain


def _file(url: sa.URL, chain: schema.Chain) -> str:
    """Return the path of a database.

    :raises ConfigError: it is on a server
    """
    if url.get_backend_name() != 'sqlite' or not url.database:
        raise exceptions.ConfigError(
            group='migsafe', option=chain.advice.option,
            reason=f'it names a server, {errors.label(url)}. Its own tools check it, make copies '
            'of one moment and put them back: mariadb-dump --single-transaction, pg_dump')
    return url.database


@contextlib.contextmanager
def _opened(url: sa.URL, chain: schema.Chain, host: str) -> Iterator[store.Store]:
    database.check_answers(url, chain.advice)
    with contextlib.closing(opening.open_store(url, host, create=False, chain=chain)) as opened:
        yield opened


@contextlib.contextmanager
def _on_server(url: sa.URL, chain: schema.Chain, host: str) -> Iterator[store.Store]:
    """Open a journal on a server.

    :raises ConfigError: it is a ledger, which is not of one host
    """
    if chain is not schema.JOURNAL:
        _file(url, chain)
    with _opened(url, chain, host) as opened:
        yield opened


def check(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Read all of a file, and compare its indexes with its tables."""
    url, chain = _meant(conf, args)
    path = _file(url, chain)
    opening.store_versions(sa.URL.create('sqlite', database=path), chain)
    if not os.path.lexists(path):
        raise exceptions.JournalUnavailable(
            database=path, reason='there is no such file',
            cure='The command may read another configuration: see --config-file and --host.')
    with errors.translated(path, 'checking all of it', chain.advice):
        whole.check(path)
    print(f'{path} is whole.')
    return codes.CLEAN


def backup(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Copy a file, or what this host has in a journal on a server, while its service runs."""
    url, chain = _meant(conf, args)
    copy = os.path.abspath(args.file)
    if url.get_backend_name() == 'sqlite':
        what = _file(url, chain)
        backups.backup(what, copy, chain)
    else:
        with _on_server(url, chain, conf.host) as opened:
            count = moving.backup(opened, conf.host, copy)
        what = f'the {count} transactions of {conf.host} in {errors.label(url)}'
    print(f'{args.file} is a copy of {what}. It holds the same secrets.')
    return codes.CLEAN


def restore(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Put a copy back where no file is, or where a server has nothing of this host."""
    url, chain = _meant(conf, args)
    copy, path = os.path.abspath(args.file), errors.label(url)
    mark = _mark_ledger if args.ledger else _mark_journal(conf.host)
    if url.get_backend_name() == 'sqlite':
        files.check_maker(path)
        count = backups.restore(path, copy, chain, mark)
    else:
        with _on_server(url, chain, conf.host) as opened:
            count = moving.restore(opened, conf.host, copy, mark)
    print(f'{path} is restored from {args.file}. {count} entries that were not settled then are '
          'judged anew by evidence. Start the service.')
    return codes.CLEAN


def distrust(conf: cfg.ConfigOpts, args: argparse.Namespace) -> int:
    """Say of what is there what ``restore`` says: it is of an earlier time."""
    url, chain = _meant(conf, args)
    mark = _mark_ledger if args.ledger else _mark_journal(conf.host)
    with _opened(url, chain, conf.host) as opened:
        count = mark(opened)
    print(f'{errors.label(url)}: {count} entries that are not settled are judged anew by '
          'evidence. Restart the service.')
    return codes.CLEAN


def _mark_journal(host: str) -> backups.Mark:
    """What was decided and declared then is worth less than what is found now."""
    def mark(opened: store.Store) -> int:
        journal, after_id, count = api.Journal(opened, host), 0, 0
        while page := journal.unsettled(all_hosts=True, after_id=after_id):
            for tx in page:
                after_id = tx.id
                if 'verdict' not in tx.problems() and tx.verdict in ('COMMIT', 'ABORT'):
                    journal.withdraw(tx, str(tx.verdict), REASON)
                journal.request(tx, history.RESTORED)
                count += 1
        return count
    return mark


def _mark_ledger(opened: store.Store) -> int:
    """What the array has now is looked at for each row that is not gone."""
    table = ledger_models.EXPORTS

    def work(connection: sa.Connection) -> int:
        return connection.execute(sa.update(table).where(table.c.state != 'gone').values(
            due_at=ledger_rows.clock(connection))).rowcount
    return opened.write('that it is restored', work)
