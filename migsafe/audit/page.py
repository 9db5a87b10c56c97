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
"""One self-contained page of a report, to look at, filter and search.

It asks for nothing from elsewhere, and runs no script but its own, which the policy in it names by
its hash: what tenants have chosen can be in it.
"""

from __future__ import annotations

import base64
import hashlib
import pathlib

import jinja2

from migsafe.audit.report import Report, number
from migsafe.audit.rules import TITLES

DATA = pathlib.Path(__file__).parent / 'data'
#: Volumes in the map, which is for looking at.
MAPPED = 500


def render(report: Report) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(DATA), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    script = (DATA / 'page.js').read_text(encoding='utf-8')
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    volumes = sorted(report.sights)
    return environment.get_template('page.html').render(
        report=report, titles=TITLES, script=script, digest=digest,
        style=(DATA / 'page.css').read_text(encoding='utf-8'),
        rules=sorted(report.by_rule().items(), key=lambda item: number(item[0])),
        volumes=volumes[:MAPPED], more=max(0, len(volumes) - MAPPED))
