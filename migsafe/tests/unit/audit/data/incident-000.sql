-- The records of incident 000, as its report has them: the tables of a Nova and of a Cinder of
-- before Pike. The instance's UUID is cut short there, and is kept so. What the report does not say
-- is marked with "chosen".
--
-- A live migration from node13 to node11 failed on 2017-05-25. Both rows of the instance's volumes
-- kept what node11 was given. On 2017-06-05 the instance was stopped and started on node13.
CREATE TABLE instances (
  created_at DATETIME, updated_at DATETIME, deleted_at DATETIME, id INTEGER PRIMARY KEY,
  uuid VARCHAR(36) NOT NULL UNIQUE, host VARCHAR(255), node VARCHAR(255), vm_state VARCHAR(255),
  task_state VARCHAR(255), power_state INTEGER, display_name VARCHAR(255), deleted INTEGER);
CREATE TABLE block_device_mapping (
  created_at DATETIME, updated_at DATETIME, deleted_at DATETIME, id INTEGER PRIMARY KEY,
  device_name VARCHAR(255), delete_on_termination BOOLEAN, snapshot_id VARCHAR(36),
  volume_id VARCHAR(36), volume_size INTEGER, no_device BOOLEAN, connection_info TEXT,
  instance_uuid VARCHAR(36), deleted INTEGER, source_type VARCHAR(255),
  destination_type VARCHAR(255), boot_index INTEGER, image_id VARCHAR(36));
CREATE TABLE migrations (
  created_at DATETIME, updated_at DATETIME, deleted_at DATETIME, id INTEGER PRIMARY KEY,
  source_compute VARCHAR(255), dest_compute VARCHAR(255), dest_host VARCHAR(255),
  status VARCHAR(255), instance_uuid VARCHAR(36), source_node VARCHAR(255),
  dest_node VARCHAR(255), deleted INTEGER, migration_type VARCHAR(255), hidden BOOLEAN);
CREATE TABLE instance_actions (
  created_at DATETIME, updated_at DATETIME, deleted_at DATETIME, id INTEGER PRIMARY KEY,
  action VARCHAR(255), instance_uuid VARCHAR(36), request_id VARCHAR(255), start_time DATETIME,
  finish_time DATETIME, message VARCHAR(255), deleted INTEGER);
CREATE TABLE services (
  created_at DATETIME, updated_at DATETIME, deleted_at DATETIME, id INTEGER PRIMARY KEY,
  host VARCHAR(255), binary VARCHAR(255), topic VARCHAR(255), report_count INTEGER,
  disabled BOOLEAN, deleted INTEGER);
CREATE TABLE compute_nodes (
  created_at DATETIME, updated_at DATETIME, deleted_at DATETIME, id INTEGER PRIMARY KEY,
  uuid VARCHAR(36), host VARCHAR(255), hypervisor_hostname VARCHAR(255),
  hypervisor_type TEXT, deleted INTEGER);
CREATE TABLE volumes (
  created_at DATETIME, updated_at DATETIME, deleted_at DATETIME, deleted BOOLEAN,
  id VARCHAR(36) PRIMARY KEY, host VARCHAR(255), size INTEGER, status VARCHAR(255),
  attach_status VARCHAR(255), display_name VARCHAR(255), migration_status VARCHAR(255),
  multiattach BOOLEAN);
CREATE TABLE volume_attachment (
  created_at DATETIME, updated_at DATETIME, deleted_at DATETIME, deleted BOOLEAN,
  id VARCHAR(36) PRIMARY KEY, volume_id VARCHAR(36), attached_host VARCHAR(255),
  instance_uuid VARCHAR(36), mountpoint VARCHAR(255), attach_time DATETIME,
  detach_time DATETIME, attach_mode VARCHAR(36), attach_status VARCHAR(255));

-- chosen: its time of change, its name
INSERT INTO instances VALUES ('2017-05-02 07:30:25', '2017-06-05 03:09:50', NULL, 1,
  '66009d94-114f-4062-99b', 'node13', 'node13', 'active', NULL, 1, 'SVN', 0);
-- chosen: numbers of the rows; their times are those of the migration
INSERT INTO block_device_mapping VALUES ('2017-05-02 07:30:25', '2017-05-25 06:35:40', NULL, 1,
  '/dev/vda', 0, NULL, 'e0c8da7e-baff-4530-a512-a67f71018e3f', NULL, NULL,
  '{"driver_volume_type": "iscsi", "connector": {"initiator": "iqn.1994-05.com.redhat:e08ae3b9ff2", "ip": "172.24.9.21", "platform": "x86_64", "host": "node11", "do_local_attach": false, "os_type": "linux2", "multipath": false}, "serial": "e0c8da7e-baff-4530-a512-a67f71018e3f", "data": {"device_path": "/dev/disk/by-path/ip-172.24.3.101:3260-iscsi-iqn.1992-08.com.netapp:sn.5a7alde1aeb11e79f8600a098ac0ce9:vs.11-lun-3", "target_discovered": false, "encrypted": false, "qos_specs": null, "target_iqn": "iqn.1992-08.com.netapp:sn.5a7alde1aeb11e79f8600a098ac0ce9:vs.11", "target_portal": "172.24.3.101:3260", "volume_id": "e0c8da7e-baff-4530-a512-a67f71018e3f", "target_lun": 3, "access_mode": "rw"}}',
  '66009d94-114f-4062-99b', 0, 'volume', 'volume', 0, NULL);
INSERT INTO block_device_mapping VALUES ('2017-05-02 07:30:25', '2017-05-25 06:35:40', NULL, 2,
  '/dev/vdb', 0, NULL, '3de94ee8-30b8-4faf-82eb-24e1df144337', NULL, NULL,
  '{"driver_volume_type": "iscsi", "connector": {"initiator": "iqn.1994-05.com.redhat:e08ae3b9ff2", "ip": "172.24.9.21", "platform": "x86_64", "host": "node11", "do_local_attach": false, "os_type": "linux2", "multipath": false}, "serial": "3de94ee8-30b8-4faf-82eb-24e1df144337", "data": {"device_path": "/dev/disk/by-path/ip-172.24.3.101:3260-iscsi-iqn.1992-08.com.netapp:sn.5a7alde1aeb11e79f8600a098ac0ce9:vs.11-lun-4", "target_discovered": false, "encrypted": false, "qos_specs": null, "target_iqn": "iqn.1992-08.com.netapp:sn.5a7alde1aeb11e79f8600a098ac0ce9:vs.11", "target_portal": "172.24.3.101:3260", "volume_id": "3de94ee8-30b8-4faf-82eb-24e1df144337", "target_lun": 4, "access_mode": "rw"}}',
  '66009d94-114f-4062-99b', 0, 'volume', 'volume', NULL, NULL);
INSERT INTO migrations VALUES
 ('2017-05-10 07:46:49', '2017-05-10 07:46:55', NULL, 741, 'node13', 'node18', NULL, 'error', '66009d94-114f-4062-99b', NULL, NULL, 0, 'live-migration', 0),
 ('2017-05-10 08:26:21', '2017-05-10 08:26:25', NULL, 770, 'node13', 'node18', NULL, 'error', '66009d94-114f-4062-99b', NULL, NULL, 0, 'live-migration', 0),
 ('2017-05-10 12:13:22', '2017-05-10 12:13:28', NULL, 833, 'node13', 'node2', NULL, 'error', '66009d94-114f-4062-99b', NULL, NULL, 0, 'live-migration', 0),
 ('2017-05-10 13:08:36', '2017-05-10 13:08:42', NULL, 851, 'node13', 'node3', NULL, 'error', '66009d94-114f-4062-99b', NULL, NULL, 0, 'live-migration', 0),
 ('2017-05-11 11:46:01', '2017-05-11 11:46:06', NULL, 1008, 'node13', 'node1', NULL, 'error', '66009d94-114f-4062-99b', NULL, NULL, 0, 'live-migration', 0),
 ('2017-05-25 06:35:09', '2017-05-25 06:36:09', NULL, 1419, 'node13', 'node11', NULL, 'error', '66009d94-114f-4062-99b', NULL, NULL, 0, 'live-migration', 0);
INSERT INTO instance_actions (id, action, instance_uuid, request_id, message, start_time, deleted) VALUES
 (1, 'create', '66009d94-114f-4062-99b', 'req-1795e96c-4edf-4523-9ca3-8e5b5b7a1b70', NULL, '2017-05-02 07:30:25', 0),
 (2, 'stop', '66009d94-114f-4062-99b', 'req-2268cc9a-99f0-4d25-9fd5-98ac725ee282', NULL, '2017-05-02 08:25:04', 0),
 (3, 'start', '66009d94-114f-4062-99b', 'req-f915a33c-55aa-493a-a298-3a9a1ae7f092', NULL, '2017-05-02 08:25:38', 0),
 (4, 'live-migration', '66009d94-114f-4062-99b', 'req-7faf7257-5b0e-4baa-be69-598686ae27ed', NULL, '2017-05-10 07:46:49', 0),
 (5, 'live-migration', '66009d94-114f-4062-99b', 'req-c5275596-5efb-4cc8-916e-f0dadf5cf466', NULL, '2017-05-10 08:26:21', 0),
 (6, 'live-migration', '66009d94-114f-4062-99b', 'req-621be9c6-1c9f-4eb5-bc11-313ad4b45898', NULL, '2017-05-10 12:13:22', 0),
 (7, 'live-migration', '66009d94-114f-4062-99b', 'req-b0a06b1d-a70b-4cc8-afc2-47313695f56f', NULL, '2017-05-10 13:08:36', 0),
 (8, 'live-migration', '66009d94-114f-4062-99b', 'req-d11c1b94-2634-416c-a368-e7c4a8f2f20e', NULL, '2017-05-11 11:46:01', 0),
 (9, 'live-migration', '66009d94-114f-4062-99b', 'req-9066325a-31d5-4bf5-89a8-15a56a3f2ba5', 'Error', '2017-05-25 06:35:08', 0),
 (10, 'stop', '66009d94-114f-4062-99b', 'req-939b2741-3e83-4031-b705-ba70a3805ff3', NULL, '2017-06-05 02:28:54', 0),
 (11, 'start', '66009d94-114f-4062-99b', 'req-f0d1345e-0d41-4248-9751-665163b72e35', NULL, '2017-06-05 02:31:04', 0),
 (12, 'reboot', '66009d94-114f-4062-99b', 'req-8b193f1e-bd6c-4c57-9bcb-142b6fcf2320', NULL, '2017-06-05 03:09:21', 0);
-- chosen: that the hosts' services report, and when they last did
INSERT INTO services (id, host, binary, topic, updated_at, deleted) VALUES
 (1, 'node13', 'nova-compute', 'compute', '2017-06-05 03:30:00', 0),
 (2, 'node11', 'nova-compute', 'compute', '2017-06-05 03:30:04', 0);
INSERT INTO compute_nodes (id, host, hypervisor_hostname, hypervisor_type, deleted) VALUES
 (1, 'node13', 'node13', 'QEMU', 0), (2, 'node11', 'node11', 'QEMU', 0);
-- chosen: ids of the attachments; before Pike they name no host
INSERT INTO volumes (id, status, attach_status, display_name, multiattach, deleted, updated_at) VALUES
 ('e0c8da7e-baff-4530-a512-a67f71018e3f', 'in-use', 'attached', '', 0, 0, '2017-05-02 07:30:40'),
 ('3de94ee8-30b8-4faf-82eb-24e1df144337', 'in-use', 'attached', 'SVN', 0, 0, '2017-05-02 07:30:40');
INSERT INTO volume_attachment (id, volume_id, instance_uuid, mountpoint, attach_mode, attach_status, deleted, updated_at) VALUES
 ('5f0c6a43-60cb-4f1c-9a5d-2b5a3c6f0d11', 'e0c8da7e-baff-4530-a512-a67f71018e3f', '66009d94-114f-4062-99b', '/dev/vda', 'rw', 'attached', 0, '2017-05-02 07:30:40'),
 ('9d2e7b18-1f4a-4c3e-8b6d-7e0a9c5d4f22', '3de94ee8-30b8-4faf-82eb-24e1df144337', '66009d94-114f-4062-99b', '/dev/vdb', 'rw', 'attached', 0, '2017-05-02 07:30:40');
