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
"""The page on security names tests that exist, and code that exists."""

import ast
import pathlib
import re

from oslotest import base

import migsafe

ROOT = pathlib.Path(migsafe.__file__).parent
PAGE = ROOT.parent / 'doc' / 'source' / 'admin' / 'security.rst'
WORD = re.compile(r'``([a-z_.]+(?:\.[A-Z]\w+)?)``')
TEST = re.compile(r'``(test_\w+)``')
ROOMS = ('unit', 'cinder', 'threats', 'functional', 'storage', 'packaging')


def defined(path):
    """Names of the classes and functions of a module."""
    return {node.name for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ClassDef | ast.FunctionDef)}


class TestPage(base.BaseTestCase):
    """A row of a table is worth as much as the test that it names."""

    def setUp(self):
        super().setUp()
        self.text = PAGE.read_text(encoding='utf-8')

    def test_each_test_that_is_named(self):
        there = set().union(*map(defined, (ROOT / 'tests').rglob('test_*.py')))
        modules = {path.stem for path in (ROOT / 'tests').rglob('test_*.py')}
        named = set(TEST.findall(self.text))
        self.assertGreater(len(named), 15)
        self.assertEqual(set(), named - there - modules)

    def test_each_module_of_tests(self):
        found = 0
        for word in WORD.findall(self.text):
            room, *parts = word.split('.')
            if room not in ROOMS or not parts:
                continue
            found += 1
            classes = parts[-1:] if parts[-1][0].isupper() else []
            path = ROOT.joinpath('tests', room, *parts[:len(parts) - len(classes)])
            self.assertTrue(path.with_suffix('.py').exists(), word)
            self.assertLessEqual(set(classes), defined(path.with_suffix('.py')), word)
        self.assertGreater(found, 8)

    def test_each_place_that_compares_names(self):
        """The first column of that table, which is the code as it is."""
        table = self.text[self.text.index('taken for'):self.text.index('What switches')]
        rows = re.findall(r'\n   \* - (.+?)\n     - ', table, re.DOTALL)
        self.assertGreater(len(rows), 10)
        code = {str(path.relative_to(ROOT)): path for path in ROOT.rglob('*.py')
                if 'tests' not in path.parts}
        for row in rows:
            for word in re.findall(r'``([a-z_]+\.[A-Za-z_.]+)``', row):
                room, *rest = word.split('.')
                if word == 'instance.host':
                    continue
                fits = [path for name, path in code.items() if f'{room}/{rest[0]}' in name]
                self.assertTrue(fits, word)
                wanted = {part for part in rest[1:] if not any(
                    f'/{part}' in str(path) for path in fits)}
                self.assertLessEqual(wanted, set().union(*map(defined, fits)), word)
