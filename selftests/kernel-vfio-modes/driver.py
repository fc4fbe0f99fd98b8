#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""All of the kernel's vfio_pci_driver_test on a VF that ferrite_vfio drives, in each IOMMU mode. See kernel-vfio."""

from ferrite import KsftNamedVariant, ksft_variants, log, run
from ferrite.kernelvfio import MODES, in_huge_pages, program
from ferrite.migration import provision, switch


@ksft_variants([KsftNamedVariant(mode, mode) for mode in MODES])
def the_function_copies_memory_and_interrupts(mode):
    # Some of it has the function copy from and to where there is no memory.
    log.allow_dma_faults()
    in_huge_pages()
    _, vf = provision(switch())
    program("vfio_pci_driver_test", [vf], f"-v {mode}")


if __name__ == "__main__":
    run(the_function_copies_memory_and_interrupts)
