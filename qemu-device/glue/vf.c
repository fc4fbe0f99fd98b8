/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ferrite DPU: a virtual function, which is a door to the model of its PF.
 */

#include "qemu/osdep.h"
#include "hw/pci/pci.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_sriov.h"
#include "qapi/error.h"

#include "ferrite.h"

static void ferrite_vf_write_config(PCIDevice *pci, uint32_t addr,
                                    uint32_t val, int len)
{
    ferrite_function_write_config(&FERRITE_VF(pci)->function, addr, val, len);
}

static void ferrite_vf_reset_hold(Object *obj, ResetType type)
{
    FerriteFunction *function = &FERRITE_VF(obj)->function;

    ferrite_function_reset(function);
    /*
     * An FLR, the PF's turning VFs on or off, a reset of the bus: all the same
     * to a VF.
     */
    ferrite_function_flr(function);
}

static void ferrite_vf_realize(PCIDevice *pci, Error **errp)
{
    FerriteVf *vf = FERRITE_VF(pci);
    FerriteFunction *function = &vf->function;
    FerritePf *pf = FERRITE_PF(pcie_sriov_get_pf(pci));
    uint16_t offset;

    pci->config_write = ferrite_vf_write_config;

    function->pci = pci;
    /* A write to a doorbell uses the PF, and may be under way when it goes. */
    function->pf = FERRITE_PF(object_ref(OBJECT(pf)));
    function->number = 1 + pcie_sriov_vf_number(pci);

    offset = ferrite_function_realize(function,
                                      ferrite_contract()->vf_doorbells_size,
                                      ferrite_device_max_vf_vectors(pf->model),
                                      errp);
    if (!offset) {
        ferrite_function_unrealize(function);
        return;
    }
    ferrite_function_set_vectors(function, pf->vf_vectors);
    ferrite_function_add_acs(function, offset);
    pf->functions[function->number] = function;
}

static void ferrite_vf_exit(PCIDevice *pci)
{
    FerriteFunction *function = &FERRITE_VF(pci)->function;

    function->pf->functions[function->number] = NULL;
    ferrite_function_unrealize(function);
}

static void ferrite_vf_finalize(Object *obj)
{
    FerriteVf *vf = FERRITE_VF(obj);

    if (vf->function.pf) {
        object_unref(OBJECT(vf->function.pf));
    }
}

static void ferrite_vf_class_init(ObjectClass *class, void *data)
{
    const FerriteContract *contract = ferrite_contract();
    DeviceClass *dc = DEVICE_CLASS(class);
    ResettableClass *rc = RESETTABLE_CLASS(class);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(class);

    pc->realize = ferrite_vf_realize;
    pc->exit = ferrite_vf_exit;
    pc->vendor_id = contract->vendor_id;
    pc->device_id = contract->vf_device_id;
    pc->revision = contract->revision;
    pc->class_id = contract->class_id;

    rc->phases.hold = ferrite_vf_reset_hold;

    dc->desc = "Ferrite data processing unit, virtual function";
    /* Its state is saved with that of the PF, after which it comes to life. */
    dc->user_creatable = false;
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);
}

static const TypeInfo ferrite_vf_info = {
    .name = TYPE_FERRITE_VF,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(FerriteVf),
    .instance_finalize = ferrite_vf_finalize,
    .class_init = ferrite_vf_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { }
    },
};

static void ferrite_vf_register_types(void)
{
    type_register_static(&ferrite_vf_info);
}

type_init(ferrite_vf_register_types)
