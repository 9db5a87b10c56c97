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
"""The theme of OpenStack's documentation, where it can be used."""

import pathlib
import subprocess
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent


def settings() -> dict[str, Any]:
    """Return what conf.py sets.

    openstackdocstheme asks git which commit a page is of, and its warning without one would end a
    build with -W: a tree that was exported has Sphinx's own theme.
    """
    command = ["git", "rev-parse", "HEAD"]
    try:
        subprocess.run(command, cwd=HERE, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return {"html_theme": "alabaster"}
    return {
        "html_theme": "openstackdocs",
        "openstackdocs_auto_name": False,
        "openstackdocs_auto_version": False,
    }
