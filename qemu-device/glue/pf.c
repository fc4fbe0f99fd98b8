/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ferrite DPU: the physical function, which owns the model.
 */

#include "qemu/osdep.h"
#include "qemu/main-loop.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci.h"
#include "hw/pci/pcie.h"
#include "hw/pci/pcie_sriov.h"
#include "hw/qdev-properties.h"
#include "hw/qdev-properties-system.h"
#include "migration/vmstate.h"
#include "net/net.h"
#include "qapi/error.h"

#include "ferrite.h"
#include "trace.h"

/* Packets that the device moves before the main loop gets its turn. */
#define FERRITE_RUN_BUDGET 256

/* Routing ids of VFs: function 128 and on, which takes ARI to address. */
#define FERRITE_VF_OFFSET 0x80
#define FERRITE_VF_STRIDE 1

void ferrite_schedule(FerritePf *pf)
{
    qemu_bh_schedule(pf->bh);
}

bool ferrite_enter(FerritePf *pf)
{
    if (pf->inside || !pf->model) {
        return false;
    }
    pf->inside = true;
    return true;
}

static void ferrite_deliver(FerritePf *pf)
{
    uint16_t number;

    pf->any_raised = false;
    for (number = 0; number <= pf->max_vfs; number++) {
        FerriteFunction *function = pf->functions[number];

        if (function && function->any_raised) {
            ferrite_function_deliver(function);
        }
    }
}

void ferrite_leave(FerritePf *pf)
{
    pf->inside = false;
    /*
     * Whoever received a packet, or an IOMMU that found a fault, may have sent
     * an interrupt meanwhile: a write to an address which the guest chose, and
     * that can be a configuration space.
     */
    if (pf->sync_missed) {
        pf->sync_missed = false;
        ferrite_sync(pf);
    }
    if (pf->any_raised) {
        ferrite_deliver(pf);
    }
}

static bool ferrite_is_bus_master(PCIDevice *pci)
{
    /* In D1 to D3 a function sends nothing but PME. */
    bool awake = !(pci->cap_present & QEMU_PCI_CAP_PM) ||
        !(pci_get_word(pci->config + pci->pm_cap + PCI_PM_CTRL) &
          PCI_PM_CTRL_STATE_MASK);

    return pci->enabled && awake &&
        (pci_get_word(pci->config + PCI_COMMAND) & PCI_COMMAND_MASTER);
}

static void ferrite_sync_function(FerriteFunction *function)
{
    FerritePf *pf = function->pf;
    bool bus_master = ferrite_is_bus_master(function->pci);

    if (function->bus_master != bus_master) {
        function->bus_master = bus_master;
        trace_ferrite_bus_master(ferrite_name(pf), function->number,
                                 bus_master);
        ferrite_device_set_bus_master(pf->model, function->number, bus_master);
    }
}

void ferrite_sync(FerritePf *pf)
{
    uint16_t num_vfs = pcie_sriov_num_vfs(PCI_DEVICE(pf));
    uint16_t number;

    if (!ferrite_enter(pf)) {
        pf->sync_missed = true;
        return;
    }
    if (pf->reset_pending) {
        pf->reset_pending = false;
        ferrite_device_reset(pf->model);
    }
    for (number = 0; number <= pf->max_vfs; number++) {
        FerriteFunction *function = pf->functions[number];

        if (function && function->flr_pending) {
            function->flr_pending = false;
            ferrite_device_reset_function(pf->model, number);
        }
    }
    if (pf->num_vfs != num_vfs) {
        pf->num_vfs = num_vfs;
        ferrite_device_set_vfs(pf->model, num_vfs);
    }
    for (number = 0; number <= pf->max_vfs; number++) {
        if (pf->functions[number]) {
            ferrite_sync_function(pf->functions[number]);
        }
    }
    ferrite_leave(pf);
}

/* The bottom half: all DMA and all packets are moved here. */
static void ferrite_run(void *opaque)
{
    FerritePf *pf = opaque;
    bool more;

    /* Memory is at rest while the machine is; ferrite_vm_state_changed(). */
    if (!runstate_is_running() || !ferrite_enter(pf)) {
        return;
    }
    if (pf->timer_due) {
        pf->timer_due = false;
        ferrite_device_timer(pf->model);
    }
    more = ferrite_device_run(pf->model, FERRITE_RUN_BUDGET);
    ferrite_leave(pf);
    trace_ferrite_run(ferrite_name(pf), more);

    if (more) {
        ferrite_schedule(pf);
    }
    if (pf->uplink_ready) {
        pf->uplink_ready = false;
        ferrite_net_flush(pf);
    }
}

static void ferrite_timer_expired(void *opaque)
{
    FerritePf *pf = opaque;

    pf->timer_due = true;
    ferrite_schedule(pf);
}

static void ferrite_vm_state_changed(void *opaque, bool running, RunState state)
{
    if (running) {
        ferrite_schedule(opaque);
    }
}

static void ferrite_pf_write_config(PCIDevice *pci, uint32_t addr,
                                    uint32_t val, int len)
{
    ferrite_function_write_config(&FERRITE_PF(pci)->function, addr, val, len);
}

static void ferrite_pf_reset_hold(Object *obj, ResetType type)
{
    FerritePf *pf = FERRITE_PF(obj);
    uint16_t number;

    ferrite_function_reset(&pf->function);
    if (ferrite_function_in_flr(&pf->function)) {
        ferrite_function_flr(&pf->function);
        return;
    }

    /* No write of the configuration space will tell the model of the rest. */
    pf->num_vfs = 0;
    for (number = 0; number <= pf->max_vfs; number++) {
        if (pf->functions[number]) {
            pf->functions[number]->flr_pending = false;
            pf->functions[number]->bus_master = false;
        }
    }
    if (ferrite_enter(pf)) {
        ferrite_device_reset(pf->model);
        ferrite_leave(pf);
    } else {
        pf->reset_pending = true;
        pf->sync_missed = true;
    }
}

static uint64_t ferrite_eui64(const MACAddr *mac)
{
    const uint8_t bytes[] = {
        mac->a[0], mac->a[1], mac->a[2], 0xff, 0xfe,
        mac->a[3], mac->a[4], mac->a[5],
    };

    return ldq_be_p(bytes);
}

static bool ferrite_create_model(FerritePf *pf, Error **errp)
{
    FerriteHost host = ferrite_host(pf);
    FerriteConfig config = {
        .num_queues = pf->num_queues,
        .max_vfs = pf->max_vfs,
        .max_sfs = pf->max_sfs,
        .pf_vectors = pf->vectors,
        .vf_vectors = pf->vf_vectors,
        .vf_controls = pf->vf_controls,
        .faults = pf->faults,
        .fault_script = pf->fault_script,
        .serial = pf->serial,
    };
    char reason[256];

    memcpy(config.mac, pf->conf.macaddr.a, sizeof(config.mac));
    memcpy(config.uuid, pf->uuid.data, sizeof(config.uuid));

    pf->model = ferrite_device_new(&config, &host, reason, sizeof(reason));
    if (!pf->model) {
        error_setg(errp, "%s", reason);
        return false;
    }
    pf->latch = ferrite_device_latch(pf->model);
    return true;
}

static bool ferrite_init_sriov(FerritePf *pf, uint16_t offset, Error **errp)
{
    const FerriteContract *contract = ferrite_contract();
    PCIDevice *pci = PCI_DEVICE(pf);

    if (!pcie_sriov_pf_init(pci, offset, TYPE_FERRITE_VF,
                            contract->vf_device_id, pf->max_vfs, pf->max_vfs,
                            FERRITE_VF_OFFSET, FERRITE_VF_STRIDE, errp)) {
        /* It has cleaned up already: nothing for pcie_sriov_pf_exit() to do. */
        pci->exp.sriov_cap = 0;
        return false;
    }
    pcie_sriov_pf_init_vf_bar(pci, contract->regs_bar,
                              PCI_BASE_ADDRESS_MEM_TYPE_64,
                              contract->regs_size);
    pcie_sriov_pf_init_vf_bar(pci, contract->doorbells_bar,
                              PCI_BASE_ADDRESS_MEM_TYPE_64,
                              contract->vf_doorbells_size);
    pcie_sriov_pf_init_vf_bar(pci, contract->msix_bar,
                              PCI_BASE_ADDRESS_MEM_TYPE_64,
                              contract->msix_size);
    return true;
}

static bool ferrite_init_pm(PCIDevice *pci, Error **errp)
{
    int offset = pci_pm_init(pci, 0, errp);

    if (offset < 0) {
        return false;
    }
    pci_set_word(pci->config + offset + PCI_PM_PMC, PCI_PM_CAP_VER_1_1);
    pci_set_word(pci->config + offset + PCI_PM_CTRL, PCI_PM_CTRL_NO_SOFT_RESET);
    pci_set_word(pci->wmask + offset + PCI_PM_CTRL, PCI_PM_CTRL_STATE_MASK);
    return true;
}

static void ferrite_pf_exit(PCIDevice *pci)
{
    FerritePf *pf = FERRITE_PF(pci);

    if (pf->vm_state) {
        qemu_del_vm_change_state_handler(pf->vm_state);
        pf->vm_state = NULL;
    }
    pcie_sriov_pf_exit(pci);
    ferrite_function_unrealize(&pf->function);
    ferrite_net_unrealize(pf);
    timer_free(pf->timer);
    pf->timer = NULL;
    /* What is left, a write to a doorbell may still use: see finalize. */
    ferrite_device_free(pf->model);
    pf->model = NULL;
}

static void ferrite_pf_realize(PCIDevice *pci, Error **errp)
{
    ERRP_GUARD();
    FerritePf *pf = FERRITE_PF(pci);
    FerriteFunction *function = &pf->function;
    uint16_t offset;

    pci->config_write = ferrite_pf_write_config;
    qemu_macaddr_default_if_unset(&pf->conf.macaddr);

    if (!ferrite_create_model(pf, errp)) {
        return;
    }
    pf->bh = qemu_bh_new_guarded(ferrite_run, pf,
                                 &DEVICE(pf)->mem_reentrancy_guard);
    pf->timer = timer_new_ns(QEMU_CLOCK_VIRTUAL, ferrite_timer_expired, pf);
    pf->functions = g_new0(FerriteFunction *, 1 + pf->max_vfs);
    pf->functions[0] = function;

    function->pci = pci;
    function->pf = pf;
    function->number = 0;
    offset = ferrite_function_realize(function,
                                      ferrite_contract()->pf_doorbells_size,
                                      pf->vectors, errp);
    if (!offset || !ferrite_init_pm(pci, errp)) {
        goto fail;
    }

    pcie_dev_ser_num_init(pci, offset, ferrite_eui64(&pf->conf.macaddr));
    offset = ROUND_UP(offset + PCI_EXT_CAP_DSN_SIZEOF, 8);

    if (pf->max_vfs) {
        ferrite_function_add_acs(function, offset);
        offset += PCI_ACS_SIZEOF;
        /* The last one: pcie_sriov_pf_reset() clears 4 bytes beyond it. */
        if (!ferrite_init_sriov(pf, offset, errp)) {
            goto fail;
        }
    }

    pf->vm_state = qemu_add_vm_change_state_handler(ferrite_vm_state_changed,
                                                    pf);
    ferrite_net_realize(pf);
    return;

fail:
    ferrite_pf_exit(pci);
}

static void ferrite_pf_finalize(Object *obj)
{
    FerritePf *pf = FERRITE_PF(obj);

    if (pf->bh) {
        qemu_bh_delete(pf->bh);
    }
    ferrite_latch_free(pf->latch);
    g_free(pf->functions);
    g_free(pf->state);
    g_free(pf->fault_script);
}

static const Property ferrite_pf_properties[] = {
    DEFINE_NIC_PROPERTIES(FerritePf, conf),
    DEFINE_PROP_UINT16("num_queues", FerritePf, num_queues, 8),
    DEFINE_PROP_UINT16("max_vfs", FerritePf, max_vfs, 16),
    DEFINE_PROP_UINT16("max_sfs", FerritePf, max_sfs, 512),
    DEFINE_PROP_UINT16("vectors", FerritePf, vectors, 256),
    DEFINE_PROP_UINT16("vf_vectors", FerritePf, vf_vectors, 16),
    DEFINE_PROP_STRING("serial", FerritePf, serial),
    DEFINE_PROP_UUID("uuid", FerritePf, uuid),
    DEFINE_PROP_BOOL("vf_controls", FerritePf, vf_controls, false),
    DEFINE_PROP_BOOL("faults", FerritePf, faults, false),
};

static char *ferrite_pf_get_fault_script(Object *obj, Error **errp)
{
    return g_strdup(FERRITE_PF(obj)->fault_script);
}

/* Before the device is realized this is set-up, afterwards it takes effect. */
static void ferrite_pf_set_fault_script(Object *obj, const char *value,
                                        Error **errp)
{
    FerritePf *pf = FERRITE_PF(obj);
    char reason[256];

    if (pf->model && !ferrite_device_set_fault_script(pf->model, value, reason,
                                                      sizeof(reason))) {
        error_setg(errp, "%s", reason);
        return;
    }
    g_free(pf->fault_script);
    pf->fault_script = g_strdup(value);
}

static void ferrite_pf_describe(ObjectClass *class)
{
    static const struct {
        const char *name;
        const char *text;
    } descriptions[] = {
        { "num_queues", "TX queues, and RX queues, of each function" },
        { "max_vfs", "virtual functions, 0 for a device without SR-IOV" },
        { "max_sfs", "sub-functions" },
        { "vectors", "MSI-X vectors of the physical function" },
        { "vf_vectors", "MSI-X vectors that each virtual function comes with" },
        { "serial", "serial number (default: made of the MAC address)" },
        { "uuid", "identity of this very device" },
        { "faults", "whether the driver may make the device fail" },
        { "fault_script", "faults that are armed, from the start or when set" },
    };
    size_t i;

    for (i = 0; i < ARRAY_SIZE(descriptions); i++) {
        object_class_property_set_description(class, descriptions[i].name,
                                              descriptions[i].text);
    }
}

static void ferrite_pf_class_init(ObjectClass *class, void *data)
{
    const FerriteContract *contract = ferrite_contract();
    DeviceClass *dc = DEVICE_CLASS(class);
    ResettableClass *rc = RESETTABLE_CLASS(class);
    PCIDeviceClass *pc = PCI_DEVICE_CLASS(class);

    pc->realize = ferrite_pf_realize;
    pc->exit = ferrite_pf_exit;
    pc->vendor_id = contract->vendor_id;
    pc->device_id = contract->pf_device_id;
    pc->revision = contract->revision;
    pc->class_id = contract->class_id;

    rc->phases.hold = ferrite_pf_reset_hold;

    dc->desc = "Ferrite data processing unit";
    dc->vmsd = &ferrite_vmstate;
    device_class_set_props(dc, ferrite_pf_properties);
    object_class_property_add_str(class, "fault_script",
                                  ferrite_pf_get_fault_script,
                                  ferrite_pf_set_fault_script);
    set_bit(DEVICE_CATEGORY_NETWORK, dc->categories);

    ferrite_pf_describe(class);
}

static const TypeInfo ferrite_pf_info = {
    .name = TYPE_FERRITE_PF,
    .parent = TYPE_PCI_DEVICE,
    .instance_size = sizeof(FerritePf),
    .instance_finalize = ferrite_pf_finalize,
    .class_init = ferrite_pf_class_init,
    .interfaces = (InterfaceInfo[]) {
        { INTERFACE_PCIE_DEVICE },
        { }
    },
};

static void ferrite_pf_register_types(void)
{
    type_register_static(&ferrite_pf_info);
}

type_init(ferrite_pf_register_types)
