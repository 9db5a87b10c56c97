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
"""Each URL of a database server that the documents show encrypts, and verifies who answers."""

import pathlib
import re
import ssl
from unittest import mock

import pymysql
import sqlalchemy as sa
from oslotest import base
from psycopg2 import extensions

import migsafe
from migsafe import exceptions
from migsafe.conf import migsafe as options
from migsafe.journal import opening

TREE = pathlib.Path(migsafe.__file__).parents[1]
URL = re.compile(r'(?:mysql|mariadb|postgresql)\+?\w*://\S+')


def shown():
    """(where, URL) of each one in the documents and in the help of options."""
    for pattern in ('*.rst', 'doc/source/**/*.rst', 'releasenotes/notes/*.yaml'):
        for path in sorted(TREE.glob(pattern)):
            for found in URL.findall(path.read_text(encoding='utf-8')):
                yield str(path.relative_to(TREE)), found.rstrip('`.,')
    for option in options.OPTS:
        for found in URL.findall(option.help or ''):
            yield option.name, found


class TestExamples(base.BaseTestCase):
    """What an operator would copy."""

    def check(self, url):
        """Look into what the driver makes of a URL."""
        args, named = url.get_dialect()().create_connect_args(url)
        if url.get_backend_name() == 'postgresql':
            dsn = extensions.make_dsn(*args, **named)
            return extensions.parse_dsn(dsn).get('sslmode') == 'verify-full'
        with mock.patch.object(ssl, 'create_default_context',
                               lambda **_given: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)):
            made = pymysql.Connection(*args, defer_connect=True, **named)
        context = getattr(made, 'ctx', None)
        return (context is not None and context.verify_mode == ssl.CERT_REQUIRED
                and context.check_hostname)

    def test_each_is_verified(self):
        found = list(shown())
        self.assertLessEqual({'connection'}, {where for where, _url in found})
        self.assertGreaterEqual(len(found), 4)
        for where, text in found:
            with self.subTest(where):
                self.assertTrue(self.check(sa.make_url(text)), text)

    def test_options_that_verify_less_than_they_say(self):
        for name in ('ssl_verify_identity', 'ssl_verify_cert'):
            text = f'mysql+pymysql://m:SECRET@db/m?ssl_ca=/ca.pem&{name}=true'
            self.assertFalse(self.check(sa.make_url(text)), text)
            error = self.assertRaises(exceptions.ConfigError, opening.database_url,
                                      'connection', text, '/nonexistent', 'node13')
            self.assertIn('ssl_check_hostname=true', str(error))
            self.assertNotIn('SECRET', str(error))

    def test_what_is_not(self):
        for text in ('mysql+pymysql://m:SECRET@db/m', 'postgresql+psycopg2://m:SECRET@db/m',
                     'postgresql+psycopg2://m:SECRET@db/m?sslmode=require'):
            self.assertFalse(self.check(sa.make_url(text)), text)
