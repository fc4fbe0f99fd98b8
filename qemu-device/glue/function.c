/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ferrite DPU: a PCI function, PF or VF, as the bus sees it.
 */

#include "qemu/osdep.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci.h"
#include "hw/pci/pcie.h"
#include "qapi/error.h"

#include "ferrite.h"
#include "trace.h"

const char *ferrite_name(FerritePf *pf)
{
    const char *id = DEVICE(pf)->id;

    return id ? id : TYPE_FERRITE_PF;
}

static uint64_t ferrite_regs_read(void *opaque, hwaddr offset, unsigned size)
{
    FerriteFunction *function = opaque;
    FerritePf *pf = function->pf;
    uint64_t value = UINT64_MAX;

    if (ferrite_enter(pf)) {
        value = ferrite_device_reg_read(pf->model, function->number, offset,
                                        size);
        ferrite_leave(pf);
    }
    trace_ferrite_reg_read(ferrite_name(pf), function->number, offset, size,
                           value);
    return value;
}

static void ferrite_regs_write(void *opaque, hwaddr offset, uint64_t value,
                               unsigned size)
{
    FerriteFunction *function = opaque;
    FerritePf *pf = function->pf;

    trace_ferrite_reg_write(ferrite_name(pf), function->number, offset, size,
                            value);
    if (ferrite_enter(pf)) {
        ferrite_device_reg_write(pf->model, function->number, offset, size,
                                 value);
        ferrite_leave(pf);
    }
}

/* The model knows which accesses are good: it is shown all as they are. */
static const MemoryRegionOps ferrite_regs_ops = {
    .read = ferrite_regs_read,
    .write = ferrite_regs_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
    .impl = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
};

static uint64_t ferrite_doorbells_read(void *opaque, hwaddr offset,
                                       unsigned size)
{
    return 0;
}

/*
 * Leaves a note and has the device run: no packet moves and no command is
 * carried out while a vCPU waits for its write. This needs no lock.
 */
static void ferrite_doorbells_write(void *opaque, hwaddr offset,
                                    uint64_t value, unsigned size)
{
    FerriteFunction *function = opaque;
    FerritePf *pf = function->pf;

    trace_ferrite_doorbell(ferrite_name(pf), function->number, offset);
    if (ferrite_latch_ring(pf->latch, function->number, offset, value,
                           size)) {
        ferrite_schedule(pf);
    }
}

static const MemoryRegionOps ferrite_doorbells_ops = {
    .read = ferrite_doorbells_read,
    .write = ferrite_doorbells_write,
    .endianness = DEVICE_LITTLE_ENDIAN,
    .valid = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
    .impl = {
        .min_access_size = 1,
        .max_access_size = 8,
        .unaligned = true,
    },
};

static void ferrite_init_bars(FerriteFunction *function,
                              uint64_t doorbells_size)
{
    const FerriteContract *contract = ferrite_contract();
    PCIDevice *pci = function->pci;
    Object *owner = OBJECT(pci);

    memory_region_init_io(&function->regs, owner, &ferrite_regs_ops, function,
                          "ferrite-regs", contract->regs_size);
    pci_register_bar(pci, contract->regs_bar, PCI_BASE_ADDRESS_MEM_TYPE_64,
                     &function->regs);

    memory_region_init_io(&function->doorbells, owner, &ferrite_doorbells_ops,
                          function, "ferrite-doorbells", doorbells_size);
    pci_register_bar(pci, contract->doorbells_bar,
                     PCI_BASE_ADDRESS_MEM_TYPE_64, &function->doorbells);

    memory_region_init(&function->msix, owner, "ferrite-msix",
                       contract->msix_size);
    pci_register_bar(pci, contract->msix_bar, PCI_BASE_ADDRESS_MEM_TYPE_64,
                     &function->msix);
}

uint16_t ferrite_function_realize(FerriteFunction *function,
                                  uint64_t doorbells_size, uint16_t vectors,
                                  Error **errp)
{
    const FerriteContract *contract = ferrite_contract();
    PCIDevice *pci = function->pci;
    uint16_t offset = PCI_CONFIG_SPACE_SIZE;
    int vector;

    ferrite_init_bars(function, doorbells_size);

    if (msix_init(pci, vectors, &function->msix, contract->msix_bar, 0,
                  &function->msix, contract->msix_bar,
                  contract->msix_pba_offset, 0, errp) < 0) {
        return 0;
    }
    for (vector = 0; vector < vectors; vector++) {
        msix_vector_use(pci, vector);
    }

    if (pcie_endpoint_cap_init(pci, 0) < 0) {
        error_setg(errp, "no room for the PCI Express capability");
        return 0;
    }
    pcie_cap_deverr_init(pci);
    pcie_cap_flr_init(pci);

    if (pcie_aer_init(pci, PCI_ERR_VER, offset, PCI_ERR_SIZEOF, errp) < 0) {
        return 0;
    }
    offset += PCI_ERR_SIZEOF;

    pcie_ari_init(pci, offset);
    offset += PCI_ARI_SIZEOF;

    return offset;
}

void ferrite_function_set_vectors(FerriteFunction *function, uint16_t vectors)
{
    PCIDevice *pci = function->pci;
    uint8_t *flags = pci->config + pci->msix_cap + PCI_MSIX_FLAGS;

    assert(vectors && vectors <= pci->msix_entries_nr);
    pci_set_word(flags, (pci_get_word(flags) & ~PCI_MSIX_FLAGS_QSIZE) |
                 (vectors - 1));
    /* It may be another one in the machine that a state comes from. */
    pci_word_test_and_clear_mask(pci->cmask + pci->msix_cap + PCI_MSIX_FLAGS,
                                 PCI_MSIX_FLAGS_QSIZE);
}

void ferrite_function_add_acs(FerriteFunction *function, uint16_t offset)
{
    /*
     * None of what ACS controls is there: functions of the device reach each
     * other through its switch only. With SR-IOV it is a multi-function device
     * even where function 0 of the slot is the only one, or a VF.
     */
    function->pci->cap_present |= QEMU_PCI_CAP_MULTIFUNCTION;
    pcie_acs_init(function->pci, offset);
}

void ferrite_function_unrealize(FerriteFunction *function)
{
    PCIDevice *pci = function->pci;

    if (pci->exp.aer_cap) {
        pcie_aer_exit(pci);
    }
    if (pci->exp.exp_cap) {
        pcie_cap_exit(pci);
    }
    if (msix_present(pci)) {
        msix_unuse_all_vectors(pci);
        msix_uninit(pci, &function->msix, &function->msix);
    }
}

bool ferrite_function_in_flr(FerriteFunction *function)
{
    PCIDevice *pci = function->pci;
    uint8_t *control = pci->config + pci->exp.exp_cap + PCI_EXP_DEVCTL;

    return pci_get_word(control) & PCI_EXP_DEVCTL_BCR_FLR;
}

void ferrite_function_reset(FerriteFunction *function)
{
    pcie_cap_deverr_reset(function->pci);
    pcie_acs_reset(function->pci);
    bitmap_zero(function->raised, PCI_MSIX_FLAGS_QSIZE + 1);
    function->any_raised = false;
}

void ferrite_function_flr(FerriteFunction *function)
{
    FerritePf *pf = function->pf;

    trace_ferrite_flr(ferrite_name(pf), function->number);
    if (ferrite_enter(pf)) {
        ferrite_device_reset_function(pf->model, function->number);
        ferrite_leave(pf);
    } else {
        function->flr_pending = true;
        pf->sync_missed = true;
    }
}

void ferrite_function_deliver(FerriteFunction *function)
{
    PCIDevice *pci = function->pci;
    unsigned long vector;

    function->any_raised = false;
    for (vector = find_first_bit(function->raised, pci->msix_entries_nr);
         vector < pci->msix_entries_nr;
         vector = find_next_bit(function->raised, pci->msix_entries_nr,
                                vector + 1)) {
        clear_bit(vector, function->raised);
        if (msix_enabled(pci)) {
            trace_ferrite_msix(ferrite_name(function->pf), function->number,
                               vector);
            msix_notify(pci, vector);
        }
    }
}
