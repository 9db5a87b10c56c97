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
import types

import testtools

from migsafe.tests.nova_armed import fakecinder, fakelibvirt, inject

RUNNING, PAUSED, SHUTOFF, COMPLETED = 1, 3, 5, 3


def libvirt_module():
    """The parts of Nova's fake libvirt that are completed, behaving as they do there."""

    class Connection:
        def __init__(self):
            self._running_vms = {}

        def lookup(self):
            return next(iter(self._running_vms.values()), None)

        def defineXML(self, xml):
            return Domain(self, xml, running=False)

    class Domain:
        def __init__(self, connection, uuid, running=True, transient=False):
            self._connection, self._uuid, self._transient = connection, uuid, transient
            self._state, self._id = (RUNNING, 7) if running else (SHUTOFF, -1)
            self._job_type = 2
            if running:
                connection._running_vms[1] = self

        def UUIDString(self):
            return self._uuid

        def complete_job(self):
            self._job_type = COMPLETED

        def jobStats(self, flags=0):
            return {"type": self._job_type}

    def make_libvirt_error(error_class, message, error_code, error_domain):
        return error_class(message, error_code, error_domain)

    return types.SimpleNamespace(
        make_libvirtError=make_libvirt_error,
        libvirtError=RuntimeError,
        VIR_ERR_OPERATION_INVALID=55,
        VIR_FROM_QEMU=10,
        Connection=Connection,
        Domain=Domain,
        VIR_DOMAIN_JOB_NONE=0,
        VIR_DOMAIN_RUNNING=RUNNING,
        VIR_DOMAIN_PAUSED=PAUSED,
        VIR_DOMAIN_SHUTOFF=SHUTOFF,
    )


class FakeLibvirtTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        self.module = libvirt_module()
        fakelibvirt.patch(self.module)
        self.connection = self.module.Connection()

    def test_states_have_reasons(self):
        booted = self.module.Domain(self.connection, "a")
        self.assertEqual([RUNNING, 1], booted.state())
        incoming = self.module.Domain(self.connection, "a", transient=True)
        self.assertEqual([RUNNING, 2], incoming.state(0))
        booted._state = PAUSED
        self.assertEqual([PAUSED, 1], booted.state())

    def test_no_job_runs_before_a_migration(self):
        self.assertEqual(0, self.module.Domain(self.connection, "a")._job_type)

    def test_a_guest_that_has_migrated_is_gone_from_the_source(self):
        domain = self.module.Domain(self.connection, "a")
        domain.complete_job()
        self.assertEqual([SHUTOFF, fakelibvirt.SHUTOFF_MIGRATED], domain.state())
        self.assertEqual({}, self.connection._running_vms)
        self.assertEqual(COMPLETED, domain._job_type)

    def test_a_domain_that_is_not_running_has_no_job(self):
        domain = self.module.Domain(self.connection, "a")
        self.assertEqual({"type": 0}, domain.jobStats())
        domain.complete_job()
        error = self.assertRaises(RuntimeError, domain.jobStats)
        self.assertEqual((55, 10), error.args[1:])

    def test_to_define_a_running_domain_leaves_it_running(self):
        old = self.module.Domain(self.connection, "a")
        new = self.connection.defineXML("a")
        self.assertEqual(RUNNING, new.state()[0])
        self.assertEqual(old._id, new._id)
        self.assertIs(new, self.connection.lookup())
        self.assertEqual([SHUTOFF, 1], self.connection.defineXML("b").state())


class FakeCinderTest(testtools.TestCase):
    def setUp(self):
        super().setUp()
        attachments = {
            "v1": {
                "a1": self.attachment("a1", "i1", {"host": "src"}),
                "a2": self.attachment("a2", "i1", None),
            },
            "v2": {"a3": self.attachment("a3", "i2", object())},
        }
        fixture = types.SimpleNamespace(volume_to_attachment=attachments)
        real = types.SimpleNamespace(
            types="types", volumes=types.SimpleNamespace(list=lambda: ["real"])
        )
        self.client = fakecinder.Client(fixture, lambda: real)

    @staticmethod
    def attachment(attachment_id, instance, connector):
        return {"id": attachment_id, "instance_uuid": instance, "connector": connector}

    def test_attachments_of_an_instance(self):
        found = self.client.attachments.list(search_opts={"instance_id": "i1", "all_tenants": 1})
        self.assertEqual(
            [("a1", "v1", "attached"), ("a2", "v1", "reserved")],
            [(a["id"], a["volume_id"], a["status"]) for a in (f.to_dict() for f in found)],
        )

    def test_hosts_of_a_volume(self):
        hosts = {
            a["attachment_id"]: a["host_name"] for a in self.client.volumes.get("v1").attachments
        }
        self.assertEqual({"a1": "src", "a2": None}, hosts)
        self.assertIsNone(self.client.volumes.get("v2").attachments[0]["host_name"])

    def test_the_rest_goes_to_the_real_client(self):
        self.assertEqual("types", self.client.types)
        self.assertEqual(["real"], self.client.volumes.list())


class InstallTest(testtools.TestCase):
    def test_other_processes_are_left_alone(self):
        registered = []
        self.patch(inject.wrapt, "register_post_import_hook", lambda *a: registered.append(a[1]))
        inject.install({})
        inject.install({inject.MODE: "something"})
        self.assertEqual([], registered)
        inject.install({inject.MODE: "plain", inject.STATE_DIR: "/nowhere"})
        plain = ["nova.tests.fixtures.libvirt", "nova.tests.fixtures.cinder", "nova.test"]
        self.assertEqual(plain, registered)
        inject.install({inject.MODE: "armed", inject.STATE_DIR: "/nowhere"})
        armed = [*plain, "nova.tests.fixtures.conf", "nova.test"]
        self.assertEqual(armed, registered[len(plain) :])
