/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ferrite DPU: writes of the configuration space.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "hw/core/cpu.h"
#include "hw/pci/pci.h"
#include "hw/pci/pcie.h"
#include "system/tcg.h"

#include "ferrite.h"

typedef struct {
    FerriteFunction *function;
    uint32_t addr;
    uint32_t val;
    int len;
} ConfigWrite;

static void ferrite_config_write(FerriteFunction *function, uint32_t addr,
                                 uint32_t val, int len)
{
    pci_default_write_config(function->pci, addr, val, len);
    pcie_cap_flr_write_config(function->pci, addr, val, len);
    ferrite_sync(function->pf);
}

/* Called without the big lock, while no vCPU runs translated code. */
static void ferrite_config_write_alone(CPUState *cpu, run_on_cpu_data data)
{
    g_autofree ConfigWrite *write = data.host_ptr;
    PCIDevice *pci = write->function->pci;

    BQL_LOCK_GUARD();
    if (DEVICE(pci)->realized) {
        ferrite_config_write(write->function, write->addr, write->val,
                             write->len);
    }
    object_unref(OBJECT(pci));
}

/*
 * A write may map, move or unmap BARs. QEMU then switches to the new map of
 * memory before the vCPUs have forgotten the old one: until each has flushed
 * its TLB, its MMIO reaches whatever has taken the number of the region that
 * it means, and a doorbell, an EOI or an IOMMU command of another vCPU is lost.
 * So under TCG a vCPU's write is done when it has left its block (an access to
 * a device is the last instruction of one, thus nothing comes in between) and
 * the others have left theirs.
 */
void ferrite_function_write_config(FerriteFunction *function, uint32_t addr,
                                   uint32_t val, int len)
{
    ConfigWrite *write;

    if (!tcg_enabled() || !current_cpu) {
        ferrite_config_write(function, addr, val, len);
        return;
    }
    write = g_new(ConfigWrite, 1);
    *write = (ConfigWrite) {
        .function = function, .addr = addr, .val = val, .len = len,
    };
    object_ref(OBJECT(function->pci));
    async_safe_run_on_cpu(current_cpu, ferrite_config_write_alone,
                          RUN_ON_CPU_HOST_PTR(write));
}
