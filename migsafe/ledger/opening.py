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
"""Opens a ledger: where it is, and whether a backend may use it."""

import uuid

import sqlalchemy as sa
from oslo_config import cfg

from migsafe import exceptions
from migsafe.journal import errors, opening, schema
from migsafe.ledger import api

# NOTE: without --config-file the command would read nova.conf, which names no ledger.
SYNC = 'migsafe-manage --config-file /etc/cinder/cinder.conf db sync --ledger'
CHAIN = schema.Chain('migsafe.ledger:migrations', 'migsafe_ledger_alembic_version',
                     errors.Advice(SYNC, 'ledger_connection', 'ledger_path'),
                     'migsafe_ledger_writes')


def ledger_url(conf: cfg.ConfigOpts, host: str) -> sa.URL:
    """Return the URL of the ledger of a backend.

    :param host: as cinder-volume calls it, node@backend
    :raises ConfigError: the option cannot be used
    """
    return opening.database_url('ledger_connection', conf.migsafe.ledger_connection,
                                conf.migsafe.ledger_path, host)


def check_cluster(conf: cfg.ConfigOpts, host: str, cluster: str | None) -> None:
    """Refuse a file as the ledger of a backend that several cinder-volume serve.

    :raises ConfigError: each of them would know a part of the exports
    """
    if cluster and ledger_url(conf, host).get_backend_name() == 'sqlite':
        raise exceptions.ConfigError(
            group='migsafe', option='ledger_connection',
            reason=f'the backend is in cluster {cluster}, whose services need one ledger: name a '
            f'MariaDB or PostgreSQL database that all of them reach, and run "{SYNC}"')


def open_ledger(conf: cfg.ConfigOpts, host: str, cluster: str | None = None, *,
                create: bool = True) -> api.Ledger:
    """Check, create and upgrade the ledger of a backend, and open it.

    :param conf: with the options of ``migsafe.conf`` registered
    :param host: of this cinder-volume, node@backend
    :param cluster: name of its cluster, None if it has none
    :param create: see :func:`migsafe.journal.opening.open_journal`
    :raises JournalUnavailable: it cannot be used
    :raises ConfigError: an option cannot be used
    """
    check_cluster(conf, host, cluster)
    opened = opening.open_store(ledger_url(conf, host), host, create=create, chain=CHAIN)
    return api.Ledger(opened, cluster or host, host, str(uuid.uuid4()))


def sync(conf: cfg.ConfigOpts, host: str) -> str:
    """Create or upgrade the tables, also on a server; return the revision they have now."""
    return opening.sync_store(ledger_url(conf, host), CHAIN)


def versions(conf: cfg.ConfigOpts, host: str) -> tuple[str | None, str]:
    """Return the revision that is there, None for none, and the one this code needs."""
    return opening.store_versions(ledger_url(conf, host), CHAIN)
