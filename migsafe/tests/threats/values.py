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
"""Hostile values, as hypothesis makes them."""

import uuid

from hypothesis import strategies

#: What somebody would try who wants a file, a command, a query or a terminal.
KNOWN = ('', '.', '..', '/', '../../etc/passwd', '/etc/passwd', 'sda/../sdb', 'sda\n', 'sda\x00',
         '; reboot', '$(reboot)', '`reboot`', '-rf', "' OR 1=1 --", '"; DROP TABLE x; --', '%s%n',
         '{0.__class__}', '%(password)s', '\x1b[2J', '\u202e', '\ud800', 'x' * 5000, 'NaN',
         'urn:uuid:x', '0' * 36, 'None', 'null', 'DEAD', 'COMMIT', 'ABORT', 'HOLD')
WORDS = strategies.one_of(strategies.sampled_from(KNOWN), strategies.text(max_size=80),
                          strategies.uuids().map(str))
PLAIN = strategies.one_of(
    WORDS, strategies.none(), strategies.booleans(), strategies.integers(),
    strategies.floats(), strategies.binary(max_size=40))
ANYTHING = strategies.recursive(
    PLAIN, lambda inner: strategies.one_of(
        strategies.lists(inner, max_size=4), strategies.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=10)
UUIDS = strategies.one_of(strategies.builds(lambda: str(uuid.uuid4())), ANYTHING)
