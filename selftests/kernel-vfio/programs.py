#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The kernel's own tests of VFIO (tools/testing/selftests/vfio), on a VF that ferrite_vfio drives.

They are built as they are; ferrite.c beside this is the driver by which their library has the VF copy memory and send
interrupts. Each case here is one of their programs. All of vfio_pci_driver_test is in kernel-vfio-modes: it takes minutes.
"""

from pathlib import Path

from ferrite import cmd, defer, log, need_dpus, put, run
from ferrite.kernelvfio import in_huge_pages, program
from ferrite.migration import provision, switch

NO_GIGANTIC_PAGE = {"*hugetlb_1gb*": "the guest has no page of 1 GiB"}


def vf():
    """Returns a VF that was handed to VFIO."""
    return provision(switch())[1]


def the_function_copies_memory_and_interrupts():
    # Some of it has the function copy from where there is no memory.
    log.allow_dma_faults()
    in_huge_pages()
    tests = ("mix_and_match", "memcpy_storm")
    program("vfio_pci_driver_test", [vf()], " ".join(f"-r vfio_pci_driver_test.iommufd.{test}" for test in tests))


def configuration_regions_and_interrupts_are_as_vfio_has_them():
    program("vfio_pci_device_test", [vf()], skips={"vfio_pci_irq_test.msi.*": "the function has MSI-X"})


def memory_is_mapped_and_unmapped():
    pages = Path("/proc/sys/vm/nr_hugepages")
    defer(pages.write_text, pages.read_text(encoding="ascii"), encoding="ascii")
    pages.write_text("4", encoding="ascii")
    program("vfio_dma_mapping_test", [vf()], skips=NO_GIGANTIC_PAGE)


def registers_are_mapped_where_memory_is():
    program("vfio_dma_mapping_mmio_test", [vf()])


def a_device_is_bound_to_iommufd():
    program("vfio_iommufd_setup_test", [vf()])


def several_devices_are_opened_at_once():
    pci = switch()
    program("vfio_pci_device_init_perf_test", [provision(pci)[1] for _ in range(4)])


def vfs_of_a_pf_that_vfio_has_need_its_token():
    pci = need_dpus(1)[0]
    driver = Path("/sys/bus/pci/drivers/vfio-pci")
    defer(pci.bind)
    pci.unbind()
    cmd("modprobe vfio-pci", timeout=60)
    defer(cmd, "modprobe -r vfio-pci", timeout=60)
    put("/sys/module/vfio_pci/parameters/enable_sriov", "Y")
    pci.write("driver_override", "vfio-pci")
    defer(pci.write, "driver_override", "\n")
    put(driver / "bind", pci)
    defer(put, driver / "unbind", pci)
    program("vfio_pci_sriov_uapi_test", [pci])


if __name__ == "__main__":
    run(the_function_copies_memory_and_interrupts, configuration_regions_and_interrupts_are_as_vfio_has_them,
        memory_is_mapped_and_unmapped, registers_are_mapped_where_memory_is, a_device_is_bound_to_iommufd,
        several_devices_are_opened_at_once, vfs_of_a_pf_that_vfio_has_need_its_token)
