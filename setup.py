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
"""What describes the package is in setup.cfg, which pbr reads.

Only what a wheel leaves out is said here: the tests and the replay with its laboratory run from a
source tree, and have no place in the environment of nova-compute. A source distribution has them.
"""

import os
import shutil

import setuptools
from setuptools.command import build_py

SOURCE_ONLY = ("migsafe.tests", "migsafe.replay")


def _is_source_only(dotted: str) -> bool:
    return any(dotted == name or dotted.startswith(f"{name}.") for name in SOURCE_ONLY)


class BuildWithoutSourceOnly(build_py.build_py):
    """Leaves SOURCE_ONLY out of what is built."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.packages = [name for name in self.packages or () if not _is_source_only(name)]

    def run(self) -> None:
        """A wheel gets all that is in the build directory, also what an older tree left there."""
        if not self.editable_mode:
            shutil.rmtree(os.path.join(self.build_lib, "migsafe"), ignore_errors=True)
        super().run()

    def find_data_files(self, package: str, src_dir: str) -> list[str]:
        """setuptools takes files of a folder that is no package for data of the one above."""
        return [
            name
            for name in super().find_data_files(package, src_dir)
            if not _is_source_only(name.replace("/", "."))
        ]


class Distribution(setuptools.Distribution):
    """pbr replaces what setup() is given as cmdclass, so the command is named here."""

    def get_command_class(self, command: str) -> type[setuptools.Command]:
        if command == "build_py":
            return BuildWithoutSourceOnly
        return super().get_command_class(command)


setuptools.setup(setup_requires=["pbr>=6.1.0"], pbr=True, distclass=Distribution)
