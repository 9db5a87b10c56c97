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
"""Opens a journal: where it is, whether it may be trusted, which schema it has."""

import os
import re

import sqlalchemy as sa
from oslo_config import cfg
from sqlalchemy import exc as sa_exc

from migsafe import exceptions
from migsafe.journal import api, errors, files, making, rights, schema, store, tokens, upgrading

_HOST = re.compile(r'[A-Za-z0-9_@:%+\-][A-Za-z0-9_.@:%+\-]{0,200}')

#: Dialect and driver -> the distribution of the driver, and the extra of migsafe that brings it.
EXTRAS = {
    ('mysql', 'pymysql'): ('PyMySQL', 'mysql'),
    ('mariadb', 'pymysql'): ('PyMySQL', 'mysql'),
    ('postgresql', 'psycopg2'): ('psycopg2-binary', 'postgresql'),
}


def journal_url(conf: cfg.ConfigOpts, host: str) -> sa.URL:
    """Return the URL of the journal of ``host``.

    :raises ConfigError: the option cannot be used; its value, which may hold a password, is
        not shown
    """
    return database_url('connection', conf.migsafe.connection, conf.migsafe.state_path, host)


def database_url(option: str, given: str | None, directory: str, host: str) -> sa.URL:
    """Return the URL that an option of [migsafe] gives, else of a file named after ``host``.

    :param option: name of the option, for the error
    :param given: its value
    :param directory: of the file
    :raises ConfigError: see :func:`journal_url`
    """
    if not given:
        if not _HOST.fullmatch(host):
            raise exceptions.ConfigError(
                group='DEFAULT', option='host',
                reason=f'{ascii(host)[:80]} cannot be part of a file name')
        return sa.URL.create(
            'sqlite', database=os.path.join(os.path.abspath(directory), f'{host}.sqlite'))
    try:
        url = sa.make_url(given)
        url.get_dialect()
    except (sa_exc.ArgumentError, sa_exc.NoSuchModuleError, ValueError, ImportError):
        raise exceptions.ConfigError(
            group='migsafe', option=option,
            reason='it is no SQLAlchemy URL of an installed database driver') from None
    if url.get_backend_name() != 'sqlite':
        _check_driver(option, url)
        _check_verified(option, url)
        return url
    if not url.database or url.database == ':memory:' or url.query:
        raise exceptions.ConfigError(
            group='migsafe', option=option,
            reason='a SQLite database must be a file: sqlite:////path/to/file.sqlite')
    return url.set(database=os.path.abspath(url.database))


def _check_driver(option: str, url: sa.URL) -> None:
    """Refuse a URL whose driver cannot be imported, which SQLAlchemy tells by a traceback.

    :raises ConfigError: with the extra of migsafe that brings the driver
    """
    try:
        url.get_dialect().import_dbapi()
    except ImportError as error:
        bring = EXTRAS.get((url.get_backend_name(), url.get_driver_name()))
        raise exceptions.ConfigError(
            group='migsafe', option=option,
            reason=f'the driver of {url.drivername} is not installed here ({error}). '
            + (f'Install {bring[0]} into the environment of this command and of the service; '
               f'the extra [{bring[1]}] of migsafe brings it' if bring else
               'Install it into the environment of this command and of the service, or name one '
               f'of {", ".join("+".join(name) for name in EXTRAS)}')) from None


def _check_verified(option: str, url: sa.URL) -> None:
    """Refuse two options of PyMySQL that ask for more and get less.

    SQLAlchemy hands ``ssl_ca`` on in a dictionary, which PyMySQL replaces where one of these
    is given: the certificate may be of any authority, and of any host.

    :raises ConfigError: with those that do what they say
    """
    wrong = {'ssl_verify_identity', 'ssl_verify_cert'}.intersection(url.query)
    if wrong and url.get_driver_name() == 'pymysql':
        raise exceptions.ConfigError(
            group='migsafe', option=option,
            reason=f'{", ".join(sorted(wrong))} would have ssl_ca and the name of the server '
            'ignored. Write ssl_ca=FILE&ssl_check_hostname=true instead')


def open_journal(conf: cfg.ConfigOpts, host: str, *, create: bool = True) -> api.Journal:
    """Check, create and upgrade the journal of ``host``, and open it.

    :param conf: with the options of ``migsafe.conf`` registered
    :param host: as nova-compute calls itself
    :param create: create a SQLite journal or upgrade its schema when that is needed. The
        tables on a server are the work of ``migsafe-manage db sync``.
    :raises JournalUnavailable: JournalInsecure, JournalSchemaTooNew, JournalSchemaTooOld and
        JournalFileCorrupt among them
    :raises ConfigError: the URL or the host name cannot be used
    """
    return api.Journal(open_store(journal_url(conf, host), host, create=create), host)


def open_store(url: sa.URL, host: str, *, create: bool,
               chain: schema.Chain = schema.JOURNAL) -> store.Store:
    """Check, create and upgrade a database, and open it; see :func:`open_journal`.

    :param host: that its writes carry
    """
    opened = store.Store(url, os.geteuid(), advice=chain.advice, marks=marks(url, host, chain))
    ready(opened, create, chain)
    return opened


def marks(url: sa.URL, host: str, chain: schema.Chain) -> tokens.Tokens | None:
    """Return what marks the writes of a host; those to a file need none."""
    return (None if url.get_backend_name() == 'sqlite'
            else tokens.Tokens(chain.writes, host, chain.advice))


def ready(opened: store.Store, create: bool, chain: schema.Chain) -> None:
    """Check, create and upgrade the database of a store, and open it; again if that failed.

    :raises JournalUnavailable: JournalAway where it may heal by itself
    """
    path = opened.path
    if path is not None:
        with errors.translated(path, 'opening', chain.advice):
            rights.require(path)
            _prepare(path, os.geteuid(), create, chain)
    try:
        opened.open()
        if path is not None and create:
            upgrading.upgrade(opened.engine, chain)
        schema.check(opened.engine, chain)
    except BaseException:
        opened.close()
        raise


def sync(conf: cfg.ConfigOpts, host: str) -> str:
    """Create or upgrade the schema, also on a server; return the revision it has now."""
    return sync_store(journal_url(conf, host))


def sync_store(url: sa.URL, chain: schema.Chain = schema.JOURNAL) -> str:
    """Create or upgrade the schema of one database; return the revision it has now."""
    if url.get_backend_name() == 'sqlite':
        open_store(url, '', create=True, chain=chain).close()
        return schema.head(chain)
    opened = store.Store(url, os.geteuid(), advice=chain.advice)
    try:
        upgrading.upgrade(opened.engine, chain)
        return schema.current(opened.engine, chain) or ''
    finally:
        opened.close()


def versions(conf: cfg.ConfigOpts, host: str) -> tuple[str | None, str]:
    """Return the revision that the journal has, None for none, and the one this code needs.

    :raises JournalUnavailable: it cannot be reached or must not be trusted
    """
    return store_versions(journal_url(conf, host))


def store_versions(url: sa.URL,
                   chain: schema.Chain = schema.JOURNAL) -> tuple[str | None, str]:
    """Return what :func:`versions` does, of one database."""
    path = url.database if url.get_backend_name() == 'sqlite' else None
    if path is not None:
        rights.require(path)
        if not os.path.lexists(path):
            return None, schema.head(chain)
    opened = store.Store(url, os.geteuid(), advice=chain.advice)
    try:
        opened.open()
        return schema.current(opened.engine, chain), schema.head(chain)
    finally:
        opened.close()


def _prepare(path: str, owner: int, create: bool, chain: schema.Chain) -> None:
    directory, name = os.path.split(path)
    if create:
        files.ensure_directory(directory)
    if os.path.isdir(directory):
        files.check(path, owner)
    if not os.path.lexists(path):
        files.check_log_alone(path)
    if create and not os.path.lexists(path):
        with files.exclusive(directory, name):
            if not os.path.lexists(path):
                making.make(path, owner, chain)
    if not os.path.lexists(path):
        raise exceptions.JournalUnavailable(
            database=path, reason='there is no such file',
            cure='The service creates it when it starts with migsafe enabled; or the '
            'command reads another configuration: see --config-file.')
    if os.lstat(path).st_size == 0:
        raise exceptions.JournalFileCorrupt(database=path, reason='it is empty')
