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
"""Whether a database on a server answers at all, found out before anything is asked of it."""

import os

import sqlalchemy as sa

from migsafe import exceptions
from migsafe.cli import deadline
from migsafe.journal import errors, store

#: Seconds for a connection; the drivers themselves wait for ever for a server that says nothing.
SECONDS = 30


def check_answers(url: sa.URL, advice: errors.Advice = errors.JOURNAL) -> None:
    """Refuse to wait for a server that accepts connections and says nothing.

    :param url: of a journal or ledger; a file needs no such check
    :param advice: for its kind of database
    :raises JournalUnavailable: it cannot be connected to, or not in ``SECONDS``
    """
    if url.get_backend_name() == 'sqlite':
        return
    opened = store.Store(url, os.geteuid(), advice=advice)
    try:
        deadline.run(lambda: opened.read('connecting', lambda _connection: None), SECONDS)
    except deadline.Overdue:
        raise exceptions.JournalUnavailable(
            database=opened.database, reason=f'it did not answer within {SECONDS} seconds',
            cure=f'Check that the database runs there, that nothing between drops what is sent, '
            f'and that [migsafe] {advice.option} names it.') from None
    opened.close()
