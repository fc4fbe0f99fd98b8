# SPDX-License-Identifier: GPL-2.0-or-later
"""The admin queue through the bus: DMA, interrupts, and what stops them."""

import struct

from lib import ferrite, pci
from lib.case import equal, true
from lib.machine import Machine, QemuError


def echo_comes_back():
    pf = ferrite.start(Machine())
    pf.start_admin()
    for value in range(40):
        pf.echo(value << 40 | 0x123456789)


def sixteen_commands_at_once_are_all_answered():
    pf = ferrite.start(Machine())
    pf.start_admin()
    for tag in range(16):
        pf.post(ferrite.ECHO, struct.pack("<Q", tag), tag=tag)
    pf.ring_admin()
    done = [pf.machine.until(pf.completion, f"completion {number}") for number in range(16)]
    equal(sorted(tag for tag, *_ in done), list(range(16)), "tags")


def identify_tells_what_the_properties_say():
    uuid = "12345678-9abc-def0-1122-334455667788"
    pf = ferrite.start(Machine(device=f"ferrite,bus=rp0,serial=TEST-0815,uuid={uuid},max_vfs=7,max_sfs=33"))
    pf.start_admin()
    buffer = pf.alloc(4096)
    pf.command(ferrite.IDENTIFY, data_addr=buffer, data_len=256)
    identity = pf.machine.load(buffer, 256)
    equal(identity[:32].rstrip(b"\0"), b"TEST-0815", "serial")
    equal(struct.unpack_from("<HH", identity, 114), (7, 33), "max_vfs and max_sfs")
    equal(identity[120:136].hex(), uuid.replace("-", ""), "uuid")


def vf_has_an_admin_queue_of_its_own():
    pf = ferrite.start(Machine())
    vfs = ferrite.enable_vfs(pf, 2)
    for function in (pf, *vfs):
        function.start_admin()
    for value, function in enumerate((*vfs, pf)):
        function.echo(value)


def command_is_not_carried_out_within_the_doorbell_write():
    pf = ferrite.start(Machine())
    pf.start_admin()
    # While the machine is stopped its memory is at rest, whatever is written to the device.
    pf.machine.qmp("stop")
    pf.post(ferrite.ECHO, bytes(8))
    pf.ring_admin()
    equal(pf.completion(), None, "completion while the machine is stopped")
    pf.machine.qmp("cont")
    equal(pf.machine.until(pf.completion, "completion")[:3], (7, ferrite.ECHO, 0), "tag, opcode and status")


def completion_raises_its_vector():
    pf = ferrite.start(Machine())
    mailbox = pf.alloc(4096)
    pf.msix(3, mailbox, 0xcafe)
    pf.start_admin(vector=3)
    pf.echo(1)
    equal(pf.machine.load32(mailbox), 0xcafe, "what the interrupt wrote")


def masked_vector_waits_in_the_pending_bits():
    pf = ferrite.start(Machine())
    mailbox = pf.alloc(4096)
    pf.msix(3, mailbox, 0xcafe)
    pf.mask(3, True)
    pf.start_admin(vector=3)
    pf.echo(1)
    equal((pf.machine.load32(mailbox), pf.pending(3)), (0, 1), "memory and pending bit")
    pf.mask(3, False)
    equal((pf.machine.load32(mailbox), pf.pending(3)), (0xcafe, 0), "memory and pending bit")


def vf_raises_vectors_of_its_own():
    pf = ferrite.start(Machine())
    vfs = ferrite.enable_vfs(pf, 2)
    mailbox = pf.alloc(4096)
    pf.msix(0, mailbox, 1)
    for index, vf in enumerate(vfs):
        vf.msix(0, mailbox + 4 + 4 * index, 2 + index)
    vfs[1].start_admin(vector=0)
    vfs[1].echo(1)
    equal(struct.unpack("<III", pf.machine.load(mailbox, 12)), (0, 0, 3), "what the interrupts wrote")


def interrupt_aimed_at_the_device_does_no_harm():
    pf = ferrite.start(Machine())
    # The write goes to the device's own command register, and turns it off: memory, bus master, all.
    pf.msix(3, pf.config + pci.COMMAND, 0)
    pf.start_admin(vector=3)
    pf.post(ferrite.ECHO, bytes(8))
    pf.ring_admin()
    pf.machine.settle()
    equal(pf.get(pci.COMMAND, 2), 0, "Command register")
    # And to the register that resets the function, while its command is carried out.
    for bar, address in ferrite.PF_BARS.items():
        pf.map_bar(bar, address)
    pf.enable()
    pf.msix(3, pf.config + pf.capability(pci.CAP_EXPRESS) + pci.DEVCTL, pci.DEVCTL_FLR)
    pf.set_reg(ferrite.ADMIN_CONTROL, 0)
    pf.start_admin(vector=3)
    pf.set_reg(ferrite.SCRATCH, 1)
    pf.post(ferrite.ECHO, bytes(8))
    pf.ring_admin()
    pf.machine.until(lambda: pf.get(pci.COMMAND, 2) == 0, "function-level reset")
    for bar, address in ferrite.PF_BARS.items():
        pf.map_bar(bar, address)
    pf.enable()
    pf.ready()
    equal(pf.reg(ferrite.SCRATCH), 0, "Scratch")


def bus_master_off_keeps_the_device_from_memory():
    pf = ferrite.start(Machine())
    mailbox = pf.alloc(4096)
    pf.msix(3, mailbox, 0xcafe)
    pf.start_admin(vector=3)
    pf.enable(master=False)
    pf.post(ferrite.ECHO, bytes(8))
    before = pf.machine.load(pf.cq, 32 * ferrite.DEPTH)
    pf.ring_admin()
    pf.machine.settle()
    equal(pf.machine.load(pf.cq, 32 * ferrite.DEPTH), before, "completion ring")
    equal(pf.machine.load32(mailbox), 0, "what no interrupt wrote")


def vf_without_bus_master_does_not_hinder_the_others():
    pf = ferrite.start(Machine())
    vfs = ferrite.enable_vfs(pf, 2)
    for function in (pf, *vfs):
        function.start_admin()
    vfs[0].enable(master=False)
    vfs[0].post(ferrite.ECHO, bytes(8))
    vfs[0].ring_admin()
    pf.echo(1)
    vfs[1].echo(2)
    equal(vfs[0].completion(), None, "completion of the VF without bus master")


def dma_to_the_device_itself_is_refused():
    pf = ferrite.start(Machine())
    pf.start_admin()
    pf.echo(1)
    pf.set_reg(ferrite.SCRATCH, 0x1234)
    for target in (pf.bars[0] + ferrite.SCRATCH & ~63, pf.bars[2], pf.config):
        pf.post(ferrite.IDENTIFY, data_addr=target, data_len=256)
        pf.ring_admin()
        status = pf.machine.until(pf.completion, "completion")[2]
        equal(status, 8, f"status of a command with data at {target:#x}, DMA_FAULT")
    equal(pf.reg(ferrite.SCRATCH), 0x1234, "Scratch")
    pf.echo(2)


def ring_in_the_device_itself_stops_the_admin_queue():
    for base in (ferrite.SQ_BASE, ferrite.CQ_BASE):
        pf = ferrite.start(Machine())
        pf.start_admin()
        pf.set_reg(ferrite.ADMIN_CONTROL, 0)
        pf.set_reg(base, pf.bars[0] + 0x1000)
        pf.set_reg(ferrite.ADMIN_CONTROL, 1)
        pf.post(ferrite.ECHO, bytes(8))
        pf.ring_admin()
        pf.machine.until(lambda: pf.reg(ferrite.ADMIN_STATUS) >> 8 & 0xff == ferrite.DMA_FAULT, "DMA_FAULT")
        pf.machine.kill()


def queue_state_in_the_device_itself_is_refused():
    # It is accessed as words, by another way than the rest.
    pf = ferrite.start(Machine())
    pf.start_admin()
    ring, cq = pf.alloc(4096), pf.alloc(4096)
    for state in (pf.bars[0] + 0x1000, pf.bars[2], pf.config, 0x40000000):
        pf.post(ferrite.CREATE_QUEUE, struct.pack("<QQQHHHHB", ring, cq, state, ferrite.TX, 0, 1, 0, 4))
        pf.ring_admin()
        status = pf.machine.until(pf.completion, "completion")[2]
        equal(status, 8, f"status of a queue with its state at {state:#x}, DMA_FAULT")
    pf.echo(1)


def flr_stops_the_admin_queue():
    pf = ferrite.start(Machine())
    pf.start_admin()
    pf.echo(1)
    for _ in range(4):
        pf.post(ferrite.ECHO, bytes(8))
    before = pf.machine.load(pf.cq, 32 * ferrite.DEPTH)
    # Stopped, so that the commands are surely under way when the reset comes.
    pf.machine.qmp("stop")
    pf.ring_admin()
    pf.flr()
    pf.machine.qmp("cont")
    for bar, address in ferrite.PF_BARS.items():
        pf.map_bar(bar, address)
    pf.enable()
    pf.ready()
    equal(pf.reg(ferrite.ADMIN_STATUS), 0, "AdminStatus")
    equal(pf.machine.load(pf.cq, 32 * ferrite.DEPTH), before, "completion ring")
    pf.start_admin()
    pf.echo(2)


def fault_script_is_followed():
    pf = ferrite.start(Machine(device="ferrite,bus=rp0,faults=on,fault_script=fail_command:opcode=0:skip=1:count=1:param=9"))
    pf.start_admin()
    statuses = []
    for _ in range(3):
        pf.post(ferrite.ECHO, bytes(8))
        pf.ring_admin()
        statuses.append(pf.machine.until(pf.completion, "completion")[2])
    equal(statuses, [0, 9, 0], "statuses")


def fault_script_is_changed_while_the_machine_runs():
    pf = ferrite.start(Machine(device="ferrite,bus=rp0,id=dpu,faults=on,fault_script=fail_command:count=0:param=9"))
    pf.start_admin()

    def status():
        pf.post(ferrite.ECHO, bytes(8))
        pf.ring_admin()
        return pf.machine.until(pf.completion, "completion")[2]

    def script(text):
        pf.machine.qmp("qom-set", path="/machine/peripheral/dpu", property="fault_script", value=text)

    equal(status(), 9, "status with the first script")
    script("fail_command:count=1:param=11")
    equal([status(), status()], [11, 0], "statuses with the second script")
    equal(pf.machine.qmp("qom-get", path="/machine/peripheral/dpu", property="fault_script"),
          "fail_command:count=1:param=11", "what the property holds")
    try:
        script("melt")
        complaint = ""
    except QemuError as error:
        complaint = str(error)
    true("no fault is called 'melt'" in complaint, f"{complaint!r} says why")
    script("")
    equal(status(), 0, "status without script")


def two_devices_do_not_know_each_other():
    machine = Machine("-device", "ferrite,bus=rp1,id=other,mac=52:54:00:fe:00:02")
    one, two = ferrite.start(machine), ferrite.start(machine, port=1)
    two.memory = 0x800000
    one.start_admin()
    two.start_admin()
    one.set_reg(ferrite.SCRATCH, 1)
    equal(two.reg(ferrite.SCRATCH), 0, "Scratch of the other")
    one.echo(1)
    two.echo(2)


def commands_are_traced():
    machine = Machine("-trace", "ferrite_*")
    pf = ferrite.start(machine)
    pf.start_admin()
    pf.echo(1)
    words = machine.words()
    for event in ("ferrite_reg_write dpu fn 0 offset 0x120", "ferrite_command dpu fn 0 opcode 0x0000",
                  "ferrite_bus_master dpu fn 0 enabled 1", "ferrite_run dpu"):
        true(event in words, f"{event!r} was traced")
