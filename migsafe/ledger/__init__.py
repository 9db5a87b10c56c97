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
"""The ledger of a storage backend: the exports that are made, and those that may be.

It stands beside the journal and shares its way with databases and files.
"""

from migsafe.ledger.api import Ledger
from migsafe.ledger.opening import open_ledger
from migsafe.ledger.records import Export, Peer

__all__ = ('Export', 'Ledger', 'Peer', 'open_ledger')
