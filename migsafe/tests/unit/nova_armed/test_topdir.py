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
import pathlib

import fixtures
import testtools

from migsafe.tests.nova_armed import topdir


class MirrorTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.top = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.package = self.top / "installed"
        for name in ("a.py", "tests/b.py", "tests/unit/good.py", "tests/unit/bad.py"):
            path = self.package / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)

    def files(self, where):
        """All files below, through links."""
        found = [p.relative_to(where) for p in where.rglob("*") if p.is_file()]
        for link in (p for p in where.rglob("*") if p.is_symlink() and p.is_dir()):
            found += [p.relative_to(where) for p in link.iterdir()]
        return {str(path) for path in found}

    def test_one_link(self):
        topdir.mirror(self.top / "link", self.package)
        self.assertTrue((self.top / "link").is_symlink())

    def test_some_files_are_left_out(self):
        link = self.top / "link"
        for _again in range(2):
            topdir.mirror(link, self.package, [pathlib.PurePath("tests/unit/bad.py")])
            self.assertEqual({"a.py", "tests/b.py", "tests/unit/good.py"}, self.files(link))
        self.assertTrue((link / "a.py").is_symlink())
        self.assertEqual("tests/b.py", (link / "tests" / "b.py").read_text())
        # To make it again must never reach through a link.
        self.assertTrue((self.package / "tests" / "unit" / "bad.py").exists())
