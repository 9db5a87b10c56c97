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
"""Errors that say what nobody should read, from whatever an endpoint asks."""

import traceback

SECRET = 'S3cr3tXyz'
#: What an array, a driver or a database may say.
SAID = f'no\n2026-11-28 17:00:00.000 1 CRITICAL x [-] FORGED \x1b[31m auth_password={SECRET}'


class Failing:
    """In the place of anything: each attribute is there, and fails when it is called."""

    def __getattr__(self, name):
        if name.startswith('__'):
            raise AttributeError(name)
        return Failing()

    def __call__(self, *args, **kwargs):
        try:
            raise OSError(SAID)
        except OSError as error:
            raise RuntimeError(SAID) from error


def check(case, error):
    """What oslo.messaging would log of an error, and send: all that is chained to it."""
    whole = ''.join(traceback.format_exception(error))
    for word in (SECRET, '\x1b', '\n2026-11-28'):
        case.assertNotIn(word, whole)
    case.assertIsNone(error.__cause__)
    case.assertIsNone(error.__context__)
    case.assertNotIn('\n', str(error))
