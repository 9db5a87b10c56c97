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
"""What a tenant reads in the fault of his server."""

import ast
import pathlib

from nova import exception
from nova.compute import utils
from oslo_context import context
from oslotest import base

from migsafe.nova import seams
from migsafe.nova.seams import faults

SECRET = ('http://10.1.2.3:8776/v3 of node13', '10.1.2.3', 'node13', 'migsafe')
ROOT = pathlib.Path(seams.__file__).parent
#: Errors of Nova that become the fault of a server in the process that raises them.
FAULTS = ('exception.NovaException',)


class TestFaults(base.BaseTestCase):
    """Nova's own way from an error to a fault."""

    def setUp(self):
        super().setUp()
        self.request = context.RequestContext(overwrite=True).request_id
        self.addCleanup(setattr, context._request_store, 'context', None)

    def test_the_fault_says_what_a_tenant_may_know(self):
        for kind in (exception.NovaException, exception.MigrationError):
            error = faults.discreet(kind(f'reboot refused: {SECRET[0]}'), 'reboot')
            fault = utils.exception_to_dict(error)
            self.assertIn('reboot refused: an operator', fault['message'])
            self.assertIn(self.request, fault['message'])
            for word in SECRET:
                self.assertNotIn(word, fault['message'])
            self.assertIn(SECRET[0], str(error))

    def test_plain_nova_shows_the_text(self):
        """The control."""
        fault = utils.exception_to_dict(exception.NovaException(SECRET[0]))
        self.assertIn(SECRET[0], fault['message'])

    def test_what_the_conductor_makes_a_fault_of(self):
        """It comes over the bus, and is made anew there from its arguments."""
        error = exception.MigrationPreCheckError(reason=faults.public('live migration'))
        again = type(error)(*error.args, **error.kwargs)
        self.assertIn(self.request, utils.exception_to_dict(again)['message'])

    def test_every_refusal_goes_this_way(self):
        found, plain = 0, []
        for path in sorted(ROOT.glob('*.py')):
            tree = ast.parse(path.read_text())
            kept = {id(call.args[0]) for call in ast.walk(tree) if isinstance(call, ast.Call)
                    and ast.unparse(call.func) == 'faults.discreet'}
            names = {call.args[0].id for call in ast.walk(tree) if isinstance(call, ast.Call)
                     and ast.unparse(call.func) == 'faults.discreet'
                     and isinstance(call.args[0], ast.Name)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and ast.unparse(node.func) in FAULTS:
                    found += 1
                    if id(node) not in kept and 'left' not in names:
                        plain.append(f'{path.name}:{node.lineno}')
        self.assertEqual([], plain)
        self.assertGreaterEqual(found, 4)
