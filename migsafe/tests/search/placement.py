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
"""Placement, as Nova's report client shows it: a consumer holds one unit on each host."""


class Placement:
    """Which consumer, an instance or a migration, holds something on which hosts."""

    def __init__(self, world):
        self._world, self.held = world, {}

    def claim(self, consumer, host):
        """What the scheduler does."""
        self.held.setdefault(consumer, set()).add(f'rp-{host}')

    def only(self, instance, host, migration):
        """The end of a move."""
        self.held.pop(migration, None)
        self.held[instance] = {f'rp-{host}'}

    def get_allocs_for_consumer(self, context, consumer):
        return {'allocations': {provider: {'resources': {'VCPU': 1}}
                                for provider in self.held.get(consumer, ())}}

    def move_allocations(self, context, source, target):
        self._world.point('placement')
        found = self.held.pop(source, None)
        if found:
            self.held[target] = found
        return True

    def delete_allocation_for_instance(self, context, uuid, **_kwargs):
        self._world.point('placement')
        self.held.pop(uuid, None)
        return True

    def remove_provider_tree_from_instance_allocation(self, context, consumer, provider):
        self._world.point('placement')
        self.held.get(consumer, set()).discard(provider)
        return True
