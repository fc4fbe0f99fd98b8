# SPDX-License-Identifier: GPL-2.0-or-later
"""What the bus sees of the device: identity, capabilities, BARs, VFs, resets."""

from lib import ferrite, pci
from lib.case import equal, true
from lib.machine import Machine, QemuError


def pf_is_identified():
    pf = ferrite.start(Machine())
    equal(pf.get(0x00), ferrite.DEVICE_PF << 16 | ferrite.VENDOR, "device and vendor")
    equal(pf.get(0x08), 0x020000_01, "class and revision")
    equal(pf.get(0x0e, 1) & 0x7f, 0, "header type")
    equal(pf.get(0x3d, 1), 0, "interrupt pin")


def pf_has_the_capabilities_of_a_dpu():
    pf = ferrite.start(Machine())
    express = pf.capability(pci.CAP_EXPRESS)
    equal(pf.get(express + 2, 2) >> 4 & 0xf, 0, "type of Express device, endpoint")
    true(pf.get(express + pci.DEVCAP) & pci.DEVCAP_FLR, "the PF can be reset alone")
    true(pf.capability(pci.CAP_PM), "the PF has power management")
    for capability in (pci.EXT_AER, pci.EXT_DSN, pci.EXT_ARI, pci.EXT_ACS, pci.EXT_SRIOV):
        true(pf.extended(capability), f"the PF has extended capability {capability:#x}")
    serial = pf.extended(pci.EXT_DSN)
    equal(pf.get(serial + 4) | pf.get(serial + 8) << 32, 0x525400_fffe_fe0001, "serial number of the MAC address")


def msix_is_where_the_contract_says():
    pf = ferrite.start(Machine(device="ferrite,bus=rp0,vectors=100"))
    msix = pf.capability(pci.CAP_MSIX)
    equal(pf.get(msix + 2, 2) & 0x7ff, 99, "table size, less one")
    equal(pf.get(msix + 4), 4, "BAR and offset of the table")
    equal(pf.get(msix + 8), 0x8000 | 4, "BAR and offset of the pending bits")


def bars_have_the_sizes_of_the_contract():
    pf = ferrite.start(Machine())
    equal(pf.bar_size(0), (0x4000, 4), "registers")
    # 4096 pages, however many SFs there can be.
    equal(pf.bar_size(2), (0x1000000, 4), "doorbells")
    equal(pf.bar_size(4), (0x10000, 4), "MSI-X")
    sriov = pf.extended(pci.EXT_SRIOV)
    for bar, size in ferrite.VF_BAR_SIZES.items():
        equal(pf.bar_size(bar, sriov + pci.SRIOV_BAR0), (size, 4), f"BAR {bar} of VFs")


def sriov_offers_the_vfs_asked_for():
    pf = ferrite.start(Machine(device="ferrite,bus=rp0,max_vfs=64"))
    sriov = pf.extended(pci.EXT_SRIOV)
    equal(pf.get(sriov + pci.SRIOV_TOTAL, 2), 64, "TotalVFs")
    equal(pf.get(sriov + pci.SRIOV_VF_DEVICE, 2), ferrite.DEVICE_VF, "VF device id")
    vfs = ferrite.enable_vfs(pf, 64)
    equal(vfs[63].reg(ferrite.MAGIC), ferrite.FERR, "Magic of the last VF")
    equal(vfs[63].reg(ferrite.FUNCTION), 64, "id of the last VF")


def device_without_vfs_has_no_sriov():
    pf = ferrite.start(Machine(device="ferrite,bus=rp0,max_vfs=0"))
    equal(pf.extended(pci.EXT_SRIOV), 0, "SR-IOV capability")
    equal(pf.reg(ferrite.MAGIC), ferrite.FERR, "Magic")


def vfs_come_and_go():
    pf = ferrite.start(Machine())
    vfs = ferrite.enable_vfs(pf, 3)
    for index, vf in enumerate(vfs):
        equal(vf.reg(ferrite.MAGIC), ferrite.FERR, f"Magic of VF {index}")
        equal(vf.reg(ferrite.FUNCTION), 1 + index, f"id of VF {index}")
        vf.set_reg(ferrite.SCRATCH, 0x1000 + index)
    for index, vf in enumerate(vfs):
        equal(vf.reg(ferrite.SCRATCH), 0x1000 + index, f"Scratch of VF {index}")
        true(vf.get(vf.capability(pci.CAP_EXPRESS) + pci.DEVCAP) & pci.DEVCAP_FLR, "a VF can be reset alone")
        for capability in (pci.EXT_AER, pci.EXT_ARI, pci.EXT_ACS):
            true(vf.extended(capability), f"a VF has extended capability {capability:#x}")
    ferrite.disable_vfs(pf)
    true(vfs[0].reg(ferrite.MAGIC) != ferrite.FERR, "no VF answers when VFs are off")
    again = ferrite.enable_vfs(pf, 1)[0]
    equal(again.reg(ferrite.SCRATCH), 0, "Scratch of a VF that was off")


def vf_beyond_the_number_enabled_does_not_answer():
    pf = ferrite.start(Machine())
    ferrite.enable_vfs(pf, 2)
    beyond = pf.machine.read(ferrite.VF_BARS[0] + 2 * ferrite.VF_BAR_SIZES[0], 4)
    true(beyond != ferrite.FERR, "VF 2 does not answer")


def scratch_holds_what_is_written():
    pf = ferrite.start(Machine())
    equal(pf.reg(ferrite.ABI_VERSION), 0x00010002, "AbiVersion")
    for value in (0xdeadbeef, 0, 0x12345678):
        pf.set_reg(ferrite.SCRATCH, value)
        equal(pf.reg(ferrite.SCRATCH), value, "Scratch")
        equal(pf.reg(ferrite.SCRATCH_NOT), value ^ 0xffffffff, "ScratchNot")


def registers_are_32_bits_wide():
    pf = ferrite.start(Machine())
    pf.set_reg(ferrite.SCRATCH, 0x12345678)
    for size in (1, 2, 8):
        equal(pf.reg(ferrite.SCRATCH, size), (1 << 8 * size) - 1, f"read of {size} bytes")
        pf.set_reg(ferrite.SCRATCH, 0, size)
    equal(pf.reg(ferrite.SCRATCH + 2), 0xffffffff, "unaligned read")
    pf.set_reg(ferrite.SCRATCH - 2, 0)
    equal(pf.reg(ferrite.SCRATCH), 0x12345678, "Scratch")


def limits_tell_vectors_and_pages():
    pf = ferrite.start(Machine(device="ferrite,bus=rp0,vectors=40,vf_vectors=5,max_sfs=3"))
    equal(pf.reg(ferrite.LIMITS), 40 << 16 | 4096, "Limits of the PF")
    equal(ferrite.enable_vfs(pf, 1)[0].reg(ferrite.LIMITS), 5 << 16 | 1, "Limits of a VF")


def flr_of_the_pf_turns_vfs_off():
    pf = ferrite.start(Machine())
    vf = ferrite.enable_vfs(pf, 2)[0]
    pf.set_reg(ferrite.SCRATCH, 1)
    pf.flr()
    equal(pf.get(pci.COMMAND, 2), 0, "Command register after FLR")
    equal(pf.get(pf.extended(pci.EXT_SRIOV) + pci.SRIOV_CONTROL, 2) & pci.SRIOV_ENABLE, 0, "VF Enable")
    for bar, address in ferrite.PF_BARS.items():
        pf.map_bar(bar, address)
    pf.enable()
    equal(pf.reg(ferrite.MAGIC), ferrite.GONE, "Magic while the reset lasts")
    pf.ready()
    equal(pf.reg(ferrite.SCRATCH), 0, "Scratch")
    true(vf.reg(ferrite.MAGIC) != ferrite.FERR, "no VF answers")


def flr_of_a_vf_is_its_own_affair():
    pf = ferrite.start(Machine())
    vfs = ferrite.enable_vfs(pf, 2)
    for function in (pf, *vfs):
        function.set_reg(ferrite.SCRATCH, 5)
    vfs[0].flr()
    vfs[0].enable()
    vfs[0].ready()
    equal([function.reg(ferrite.SCRATCH) for function in (pf, *vfs)], [5, 0, 5], "Scratch of all")


def reset_of_the_machine_resets_all():
    pf = ferrite.start(Machine())
    vf = ferrite.enable_vfs(pf, 2)[0]
    pf.set_reg(ferrite.SCRATCH, 1)
    vf.set_reg(ferrite.SCRATCH, 1)
    pf.machine.qmp("system_reset")
    pf.machine.event("RESET")
    pf.machine.map_ecam()
    pf = ferrite.start(pf.machine)
    equal(pf.reg(ferrite.SCRATCH), 0, "Scratch")
    equal(pf.get(pf.extended(pci.EXT_SRIOV) + pci.SRIOV_CONTROL, 2) & pci.SRIOV_ENABLE, 0, "VF Enable")
    equal(ferrite.enable_vfs(pf, 1)[0].reg(ferrite.SCRATCH), 0, "Scratch of the VF")


def device_can_be_unplugged_and_plugged_in_again():
    machine = Machine()
    port = pci.root_port(machine)
    pf = ferrite.start(machine)
    ferrite.enable_vfs(pf, 2)
    pf.start_admin()
    pf.echo(1)
    for round_number in range(3):
        pci.slot_power(port, True)
        machine.qmp("device_del", id="dpu")
        pci.slot_power(port, False)
        # The VFs go with their PF, and have no name.
        while machine.event("DEVICE_DELETED")["data"].get("device") != "dpu":
            pass
        equal(pf.get(0) & 0xffff, 0xffff, "vendor id of an empty slot")
        machine.qmp("device_add", driver="ferrite", id="dpu", bus="rp0", mac="52:54:00:fe:00:01")
        pci.slot_power(port, True)
        pf = ferrite.start(machine)
        pf.ready()
        pf.start_admin()
        pf.echo(round_number)
        ferrite.enable_vfs(pf, 1)


def _report(machine, *functions):
    """Has functions report errors, and the root port pass them on; returns the root port."""
    port = pci.root_port(machine)
    for function in (port, *functions):
        # Correctable, non-fatal and fatal errors, and unsupported requests.
        control = function.capability(pci.CAP_EXPRESS) + pci.DEVCTL
        function.set(control, function.get(control, 2) | 0xf, 2)
    # SERR of the bridge lets errors through.
    port.set(0x3e, 1 << 1, 2)
    return port


def errors_are_reported_to_the_root_port():
    machine = Machine()
    pf = ferrite.start(machine)
    vf = ferrite.enable_vfs(pf, 1)[0]
    port = _report(machine, pf, vf)
    aer, root = pf.extended(pci.EXT_AER), port.extended(pci.EXT_AER)
    machine.hmp("pcie_aer_inject_error dpu COMP_TIME")
    equal(pf.get(aer + 4), 1 << 14, "uncorrectable errors of the PF")
    true(port.get(root + 0x30) & 1 << 2, "the root port has received an uncorrectable error")
    equal(port.get(root + 0x34, 4) >> 16, pf.bus << 8 | pf.devfn, "whose error it is")
    pf.set(aer + 4, 1 << 14)
    equal(pf.get(aer + 4), 0, "uncorrectable errors after they were cleared")
    equal(vf.get(vf.extended(pci.EXT_AER) + 4), 0, "uncorrectable errors of the VF")


def injected_errors_are_reported_to_the_root_port():
    pf = ferrite.start(Machine(device="ferrite,bus=rp0,id=dpu,mac=52:54:00:fe:00:01,faults=on"))
    port = _report(pf.machine, pf)
    aer, root = pf.extended(pci.EXT_AER), port.extended(pci.EXT_AER)
    pf.start_admin()
    # Severity, the function's register and bit, the root port's bit.
    for severity, status, bit, received in ((0, 0x10, 6, 0), (1, 0x04, 14, 5), (2, 0x04, 4, 6)):
        pf.machine.qmp("qom-set", path="/machine/peripheral/dpu", property="fault_script",
                       value=f"bus_error:param={severity}")
        pf.echo(severity)
        equal(pf.get(aer + status), 1 << bit, f"errors of severity {severity}")
        true(port.get(root + 0x30) & 1 << received, f"the root port has received severity {severity}")
        pf.set(aer + status, 1 << bit)
        port.set(root + 0x30, 0x7f)


def function_asleep_does_nothing():
    pf = ferrite.start(Machine())
    pf.start_admin()
    pf.echo(1)
    power = pf.capability(pci.CAP_PM) + 4
    pf.post(ferrite.ECHO, bytes(8))
    pf.machine.qmp("stop")
    pf.ring_admin()
    # To D3hot, before the device had a chance to see to its doorbell.
    pf.set(power, 3, 2)
    pf.machine.qmp("cont")
    pf.machine.settle()
    true(pf.reg(ferrite.MAGIC) != ferrite.FERR, "a function in D3 does not answer")
    done = pf.machine.load(pf.cq + 32 * (pf.head % ferrite.DEPTH), 32)
    equal(done, bytes(32), "completion of a command in D3")
    pf.set(power, 0, 2)
    equal(pf.reg(ferrite.MAGIC), ferrite.FERR, "Magic of a function in D0 again")


def bad_properties_are_refused_with_a_reason():
    for properties, reason in (
            ("num_queues=0", "num_queues is 0, must be 1 to 64"),
            ("num_queues=65", "num_queues is 65, must be 1 to 64"),
            ("max_vfs=65", "max_vfs is 65, must be 0 to 64"),
            ("max_sfs=1025", "max_sfs is 1025, must be 0 to 1024"),
            ("vectors=1", "vectors is 1, must be 2 to 2048"),
            ("vf_vectors=2049", "vf_vectors is 2049, must be 2 to 2048"),
            ("mac=01:00:00:00:00:01", "mac 01:00:00:00:00:01 is zero or multicast"),
            ("serial=a b", "serial must be printable ASCII"),
            ("fault_script=hang", "fault_script needs faults=on"),
            ("faults=on,fault_script=no_such_fault", "fault_script"),
            ("netdev=nothing", "Property 'ferrite.netdev' can't find value 'nothing'"),
            ("addr=11.0", "VF addr overflows"),
    ):
        complaint = Machine.refuses(f"ferrite,bus=rp0,{properties}")
        true(reason in complaint, f"{reason!r} in {complaint!r}")


def refused_device_leaves_no_trace():
    machine = Machine(device=None)
    for bad, reason in (({"num_queues": 0}, "num_queues"), ({"vectors": 1}, "vectors"),
                        ({"addr": "11.0"}, "VF addr overflows")):
        try:
            machine.qmp("device_add", driver="ferrite", id="dpu", bus="rp0", **bad)
        except QemuError as error:
            true(reason in str(error), f"{reason!r} in {error}")
            continue
        raise AssertionError(f"{bad} was not refused")
    port = pci.root_port(machine)
    machine.qmp("device_add", driver="ferrite", id="dpu", bus="rp0")
    pci.slot_power(port, True)
    ferrite.start(machine).ready()


def vf_cannot_be_made_alone():
    true("not valid" in Machine.refuses("ferrite-vf") or "pluggable" in Machine.refuses("ferrite-vf"),
         "a VF is no device to plug in")
