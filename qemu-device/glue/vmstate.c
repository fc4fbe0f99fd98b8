/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ferrite DPU: its state, for snapshots and migration of the machine.
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie_sriov.h"
#include "migration/vmstate.h"

#include "ferrite.h"
#include "trace.h"

static void ferrite_take_state(void *opaque, const uint8_t *state, size_t len)
{
    FerritePf *pf = opaque;

    pf->state = g_memdup2(state, len);
    pf->state_size = len;
}

static void ferrite_drop_state(FerritePf *pf)
{
    g_clear_pointer(&pf->state, g_free);
    pf->state_size = 0;
}

static int ferrite_pre_save(void *opaque)
{
    FerritePf *pf = opaque;

    ferrite_drop_state(pf);
    if (!ferrite_device_save(pf->model, ferrite_take_state, pf)) {
        error_report("%s: the state of the device is too large to be saved",
                     ferrite_name(pf));
        return -EFBIG;
    }
    trace_ferrite_save(ferrite_name(pf), pf->state_size);
    return 0;
}

static int ferrite_post_save(void *opaque)
{
    ferrite_drop_state(opaque);
    return 0;
}

static int ferrite_pre_load(void *opaque)
{
    ferrite_drop_state(opaque);
    return 0;
}

static int ferrite_post_load(void *opaque, int version_id)
{
    FerritePf *pf = opaque;
    char reason[256];
    uint16_t number;
    bool loaded;

    trace_ferrite_load(ferrite_name(pf), pf->state_size);
    loaded = ferrite_device_load(pf->model, pf->state, pf->state_size,
                                 reason, sizeof(reason));
    ferrite_drop_state(pf);
    if (!loaded) {
        error_report("%s: cannot load the state of the device: %s",
                     ferrite_name(pf), reason);
        return -EINVAL;
    }

    /*
     * VFs were reset as they were turned on. The model knows better, and knows
     * the number of VFs; the bus master bits it is told again.
     */
    pf->num_vfs = pcie_sriov_num_vfs(PCI_DEVICE(pf));
    for (number = 0; number <= pf->max_vfs; number++) {
        if (pf->functions[number]) {
            pf->functions[number]->flr_pending = false;
            pf->functions[number]->bus_master = false;
        }
    }
    ferrite_sync(pf);
    /* The cable of this machine, not of the one that it comes from. */
    ferrite_net_sync(pf);

    /*
     * Neither a timer nor a doorbell is saved: the model looks at everything
     * when it runs next, which is when the machine does.
     */
    pf->timer_due = true;
    return 0;
}

static bool ferrite_state_fits(void *opaque, int version_id)
{
    FerritePf *pf = opaque;

    return pf->state_size && pf->state_size <= FERRITE_MAX_STATE;
}

static const VMStateDescription ferrite_vf_vmstate = {
    .name = "ferrite-vf",
    .version_id = 1,
    .minimum_version_id = 1,
    .fields = (const VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, FerriteVf),
        VMSTATE_MSIX(parent_obj, FerriteVf),
        VMSTATE_END_OF_LIST()
    }
};

/*
 * VFs come after their PF, which turns them on and thereby resets them; a
 * section of their own would come before it.
 */
const VMStateDescription ferrite_vmstate = {
    .name = "ferrite",
    .version_id = 2,
    .minimum_version_id = 2,
    .pre_save = ferrite_pre_save,
    .post_save = ferrite_post_save,
    .pre_load = ferrite_pre_load,
    .post_load = ferrite_post_load,
    .fields = (const VMStateField[]) {
        VMSTATE_PCI_DEVICE(parent_obj, FerritePf),
        VMSTATE_MSIX(parent_obj, FerritePf),
        /* The MSI-X tables of the VFs, which follow, have a size by that. */
        VMSTATE_UINT16_EQUAL(vf_vectors, FerritePf, NULL),
        {
            .name = "vfs",
            .vmsd = &ferrite_vf_vmstate,
            .num_offset = vmstate_offset_value(FerritePf, max_vfs, uint16_t),
            .size = sizeof(PCIDevice *),
            .flags = VMS_STRUCT | VMS_VARRAY_UINT16 | VMS_POINTER |
                     VMS_ARRAY_OF_POINTER,
            .offset = vmstate_offset_value(FerritePf,
                                           parent_obj.exp.sriov_pf.vf,
                                           PCIDevice **),
        },
        VMSTATE_UINT32(state_size, FerritePf),
        VMSTATE_VALIDATE("size of the state", ferrite_state_fits),
        VMSTATE_VBUFFER_ALLOC_UINT32(state, FerritePf, 1, NULL, state_size),
        VMSTATE_END_OF_LIST()
    }
};
