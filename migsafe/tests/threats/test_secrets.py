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
"""No secret survives, in whatever shape it comes, and no text takes longer than its length."""

import json
import string
import time

from hypothesis import given, strategies
from oslotest import base

from migsafe import masking, text
from migsafe.journal import redact
from migsafe.tests.threats import examples

NAMES = ('password', 'auth_password', 'provider_auth', 'user_pass', 'pass', 'pwd', 'adminPwd',
         'sysadminPwd', 'adminPass', 'apikey', 'api_key', 'session_key', 'sessionkey',
         'sessionKey', 'bind_pw', 'passcode', 'cookie', 'secret', 'token', 'X-Auth-Token',
         'dhchap_key', 'keyring', 'private_key', 'hmac')
#: How a name and its value may stand in a text.
SHAPES = ('{name}={value}', '{name}: {value}', '"{name}": "{value}"', "'{name}': '{value}'",
          '{name} = {value}', '<{name}>{value}</{name}>', '--{name} {value}', '--{name}={value}',
          "['--{name}', '{value}']", "[('user', 'x'), ('{name}', '{value}')]",
          '{{"data": {{"{name}": "{value}"}}}}')
BARE = ('Bearer {value}', 'https://{value}@host/x', 'mysql://u:{value}@h/d', '--key {value}',
        '--key={value}', "'--key', '{value}'", 'Cookie: a={value}; b={value}',
        f'https://u:{"J" * 3000}{{value}}@host', "CREATE USER x IDENTIFIED BY '{value}'",
        'a://b/c,https://u:x@y{value}@host,d://e', 'provider_auth: CHAP user {value}',
        'key = {value}', '"auth": "{value}"')
VALUE = strategies.text(string.ascii_letters + string.digits + '+_-', min_size=8, max_size=40)
AROUND = strategies.text(max_size=40).map(lambda some: f'{some} ')


class TestSecrets(base.BaseTestCase):
    """By name, by shape, and nested."""

    @examples.settings(200)
    @given(strategies.sampled_from(NAMES), strategies.sampled_from(SHAPES), VALUE, AROUND)
    def test_by_name(self, name, shape, value, around):
        value = f'Zq9{value}'
        sample = around.replace('"', '').replace("'", '') + shape.format(name=name, value=value)
        self.assertNotIn(value, masking.mask(sample))
        self.assertNotIn(value, text.masked(ValueError(sample)))

    @examples.settings(200)
    @given(strategies.sampled_from(BARE), VALUE)
    def test_by_shape(self, shape, value):
        value = f'Zq9{value}'
        self.assertNotIn(value, masking.mask(f'it failed: {shape.format(value=value)} there'))

    @examples.settings(200)
    @given(strategies.sampled_from(NAMES), VALUE, strategies.integers(1, 3))
    def test_nested(self, name, value, depth):
        value = f'Zq9{value}'
        made = {name: value}
        for _level in range(depth):
            made = {'connection_info': json.dumps(made)}
        self.assertNotIn(value, masking.mask(str(made)))
        self.assertNotIn(value, str(redact(made)))

    @examples.settings(40)
    @given(strategies.lists(strategies.sampled_from((
        *NAMES, '=', ': ', '"', "'", '\\', '--', '://', '@', ' ', '<', '>', '{', 'key', 'auth',
        'Bearer ', 'CHAP ', '-----BEGIN ', 'PRIVATE KEY-----', 'AQ', 'a', '.', '\n', ',')),
        min_size=1, max_size=4))
    def test_time_is_linear(self, parts):
        """Ten times the length takes no more than forty times as long, where it takes any time:
        a square would be a hundred."""
        part = ''.join(parts)

        def seconds(size):
            sample = (part * size)[:size]
            begun = time.process_time()
            masking.mask(sample)
            return time.process_time() - begun
        long = min(seconds(40000), seconds(40000))
        self.assertLess(long, 40 * max(min(seconds(4000) for _ in range(3)), 0.01), part)
