# SPDX-License-Identifier: GPL-2.0-or-later
"""The whole device saved and restored: snapshots, migration to a file, bad streams."""

import struct

from lib import ferrite, pci
from lib.case import equal, true
from lib.machine import Machine, QemuError


def _in_use():
    """Returns a PF and two VFs with admin queues, vectors and recognizable registers."""
    pf = ferrite.start(Machine())
    functions = [pf, *ferrite.enable_vfs(pf, 2)]
    for number, function in enumerate(functions):
        function.mailbox = function.alloc(4096)
        function.msix(0, function.mailbox, 0x100 + number)
        function.set_reg(ferrite.SCRATCH, 0x5000 + number)
        function.start_admin(vector=0)
        for value in range(10):
            function.echo(value)
    return functions


def _check(functions):
    for number, function in enumerate(functions):
        equal(function.reg(ferrite.SCRATCH), 0x5000 + number, f"Scratch of function {number}")
        function.machine.store(function.mailbox, bytes(4))
        for value in range(10):
            function.echo(value)
        equal(function.machine.load32(function.mailbox), 0x100 + number, f"interrupt of function {number}")


def _moved(functions, machine):
    for function in functions:
        function.machine = machine


def device_goes_on_after_migration():
    functions = _in_use()
    source = functions[0].machine
    path = source.directory / "state"
    source.save(path)
    _moved(functions, Machine.restored(path))
    _check(functions)


def device_goes_on_in_the_source_when_migration_is_abandoned():
    functions = _in_use()
    functions[0].machine.save(functions[0].machine.directory / "state")
    functions[0].machine.qmp("cont")
    _check(functions)


def what_was_asked_before_migration_is_done_after():
    functions = _in_use()
    source = functions[0].machine
    source.qmp("stop")
    for function in functions:
        function.post(ferrite.ECHO, bytes(8))
        function.ring_admin()
    path = source.directory / "state"
    source.save(path)
    _moved(functions, Machine.restored(path))
    for function in functions:
        equal(function.machine.until(function.completion, "completion")[:3], (7, ferrite.ECHO, 0), "completion")
    _check(functions)


def data_path_goes_on_after_migration():
    hub = ("-netdev", "hubport,id=a,hubid=0")
    options = {"device": "ferrite,bus=rp0,id=dpu,mac=52:54:00:fe:00:01,netdev=a"}
    pf = ferrite.start(Machine(*hub, **options))
    vf = ferrite.enable_vfs(pf, 1)[0]
    for function in (pf, vf):
        function.start_admin()
        function.create_queue(ferrite.TX)
        function.create_queue(ferrite.RX)
        function.open_port()
    source = pf.machine

    def exchange(number):
        for sender, receiver, address in ((pf, vf, bytes.fromhex("525400fe0001")), (vf, pf, None)):
            buffer, before = receiver.give_buffer(2048), receiver.completed(ferrite.RX)
            if address is None:
                address = vf.mac
            sender.send(b"\xff" * 6 + address + b"\x88\xb5" + bytes([number]) * 100)
            receiver.machine.until(lambda: receiver.completed(ferrite.RX) == before + 1, "packet")
            equal(receiver.machine.load(buffer, 114)[14:], bytes([number]) * 100, "payload")

    vf.mac = vf.command(0x0002)[:6]
    exchange(1)
    path = source.directory / "state"
    source.save(path)
    _moved((pf, vf), Machine.restored(path, *hub, **options))
    exchange(2)


def cable_is_that_of_the_destination():
    options = {"device": "ferrite,bus=rp0,id=dpu,mac=52:54:00:fe:00:01,netdev=a"}
    pf = ferrite.start(Machine("-netdev", "hubport,id=a,hubid=0", **options))
    pf.start_admin()
    equal(pf.command(ferrite.QUERY_LINK)[4], 1, "state of the link")
    path = pf.machine.directory / "state"
    source = pf.machine
    source.save(path)
    pf.machine = Machine.restored(path)
    equal(pf.command(ferrite.QUERY_LINK)[4], 0, "state of the link without a cable")


def snapshot_brings_back_what_was():
    functions = _in_use()
    machine = functions[0].machine
    image = machine.directory / "disk.qcow2"
    machine.qmp("blockdev-create", job_id="create",
                options={"driver": "file", "filename": str(image), "size": 0})
    machine.until(lambda: _concluded(machine, "create"), "image")
    machine.qmp("blockdev-add", driver="file", filename=str(image), node_name="file")
    machine.qmp("blockdev-create", job_id="format",
                options={"driver": "qcow2", "file": "file", "size": 1 << 20})
    machine.until(lambda: _concluded(machine, "format"), "image")
    machine.qmp("blockdev-add", driver="qcow2", file="file", node_name="disk")
    for command in ("save", "load"):
        machine.qmp(f"snapshot-{command}", job_id=command, tag="one", vmstate="disk", devices=["disk"])
        machine.until(lambda: _concluded(machine, command), f"snapshot-{command}")
        if command == "save":
            before = [(function.tail, function.head) for function in functions]
            for function in functions:
                function.set_reg(ferrite.SCRATCH, 0)
                function.echo(1)
            ferrite.disable_vfs(functions[0])
    for function, (tail, head) in zip(functions, before):
        function.tail, function.head = tail, head
    _check(functions)


def _concluded(machine, job):
    for status in machine.qmp("query-jobs"):
        if status["id"] == job and status["status"] == "concluded":
            machine.qmp("job-dismiss", id=job)
            if "error" in status:
                raise QemuError(status["error"])
            return True
    return False


def fresh_device_is_restored_as_such():
    source = Machine()
    path = source.directory / "state"
    source.save(path)
    pf = ferrite.start(Machine.restored(path))
    pf.ready()
    pf.start_admin()
    pf.echo(1)


def _refused(path, data, **options):
    """Has a machine take a stream that it must refuse; returns its complaint."""
    path.write_bytes(data)
    machine = Machine(incoming="defer", **options)
    try:
        machine.qmp("migrate-incoming", uri=f"file:{path}")
        machine.wait()
    except (QemuError, BrokenPipeError):
        machine.wait()
    true(machine.process.returncode == 1, f"exit status 1, not {machine.process.returncode}")
    complaint = machine.words()
    machine.kill()
    return complaint


def broken_streams_are_refused_with_a_reason():
    functions = _in_use()
    source = functions[0].machine
    path = source.directory / "state"
    source.save(path)
    stream = path.read_bytes()
    blob = stream.rindex(b"FERRITE\0")
    size, = struct.unpack_from(">I", stream, blob - 4)
    true(100 < size < 1 << 20 and blob + size < len(stream), f"a size of {size} bytes stands before the state")

    def patched(offset, value):
        return stream[:offset] + value + stream[offset + len(value):]

    for what, data, reason in (
            ("not a state", patched(blob, b"ferrite\0"), "not a saved Ferrite device"),
            ("another version", patched(blob + 8, b"\x63"), "saved with version 99"),
            ("a huge size", patched(blob - 4, b"\xff\xff\xff\xf0"), "ferrite/size of the state"),
            ("no size", patched(blob - 4, bytes(4)), "ferrite/size of the state"),
            ("a short size", stream[:blob - 4] + struct.pack(">I", size - 1) + stream[blob:blob + size - 1]
             + stream[blob + size:], "ends too early"),
            ("a long size", stream[:blob - 4] + struct.pack(">I", size + 1) + stream[blob:blob + size] + b"\0"
             + stream[blob + size:], "bytes after its end"),
            ("an end too early", stream[:blob + size // 2], "load of migration failed"),
    ):
        complaint = _refused(path, data)
        true(reason in complaint, f"{reason!r} for {what}, not {complaint!r}")
    # Each byte of the state wrong in turn would take too long; some do.
    for offset in range(blob + 12, blob + size, max(1, size // 12)):
        path.write_bytes(patched(offset, bytes([stream[offset] ^ 0xff])))
        machine = Machine(incoming="defer")
        try:
            machine.qmp("migrate-incoming", uri=f"file:{path}")
            machine.until(lambda: machine.qmp("query-status")["status"] != "inmigrate", "end of migration")
            machine.qmp("cont")
            machine.settle()
        except (QemuError, BrokenPipeError):
            equal(machine.wait(), 1, f"exit status with the state wrong at {offset - blob}")
        machine.kill()


def state_of_a_device_with_other_properties_is_refused():
    source = Machine()
    path = source.directory / "state"
    source.save(path)
    stream = path.read_bytes()
    base = "ferrite,bus=rp0,id=dpu,mac=52:54:00:fe:00:01"
    # QEMU itself compares the capabilities, the device what is not to be seen there.
    for properties, reason in (("num_queues=4", "another number of queues"),
                               ("max_sfs=511", "another number of SFs"),
                               ("faults=on", "another setting of faults"),
                               ("max_vfs=8", "Bad config data"),
                               ("vectors=8", "Bad config data"),
                               ("vf_vectors=8", "vf_vectors")):
        complaint = _refused(path, stream, device=f"{base},{properties}")
        true(reason in complaint, f"{reason!r} for {properties}, not {complaint!r}")


def vf_configuration_survives():
    functions = _in_use()
    vf = functions[2]
    vf.mask(0, True)
    vf.echo(1)
    equal(vf.pending(0), 1, "pending bit")
    before = [vf.get(offset) for offset in range(0, 0x100, 4)]
    path = vf.machine.directory / "state"
    vf.machine.save(path)
    _moved(functions, Machine.restored(path))
    equal([vf.get(offset) for offset in range(0, 0x100, 4)], before, "configuration space of the VF")
    equal(vf.get(pci.COMMAND, 2) & pci.COMMAND_MASTER, pci.COMMAND_MASTER, "bus master bit")
    equal(vf.pending(0), 1, "pending bit")
    vf.machine.store(vf.mailbox, bytes(4))
    vf.mask(0, False)
    equal(vf.machine.load32(vf.mailbox), 0x102, "interrupt that was pending")
