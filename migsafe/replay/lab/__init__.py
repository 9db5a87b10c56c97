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
"""A real Nova with two compute hosts in one process, to break live migrations in.

``from migsafe.replay.lab.lab import Lab`` is the way in.  The modules that model the world
outside Nova (array, Cinder, kernel, hypervisor) know nothing of migsafe.
"""

import importlib
import sys

_late = 'nova.utils' in sys.modules and 'nova.tests.functional' not in sys.modules

# nova.tests.functional decides on eventlet or native threads when it is imported, as Nova's
# services do, so it comes before everything else that starts threads. Nova 31 uses webob.dec
# and counts on somebody else to import it.
for _name in ('nova.tests.functional', 'webob.dec'):
    importlib.import_module(_name)

if _late and getattr(sys.modules['nova.monkey_patch'], 'MONKEY_PATCHED', True):
    # measured: guests then boot without network, and nothing says why
    raise ImportError('import migsafe.replay.lab before anything of nova: eventlet must patch '
                      'the standard library first. Or set '
                      'OS_NOVA_DISABLE_EVENTLET_PATCHING=true, where this Nova has native '
                      'threads')
