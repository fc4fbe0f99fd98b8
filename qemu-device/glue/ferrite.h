/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ferrite DPU: what the parts of the glue share.
 *
 * The device itself is a Rust model that knows nothing of QEMU; this is the
 * plug between the two. No number of the hardware contract appears here: the
 * model is asked for them.
 */

#ifndef HW_NET_FERRITE_H
#define HW_NET_FERRITE_H

#include "qemu/bitmap.h"
#include "qemu/timer.h"
#include "qemu/uuid.h"
#include "hw/pci/pci_device.h"
#include "net/net.h"
#include "system/runstate.h"
#include "qom/object.h"

#include "ferrite_ffi.h"

#define TYPE_FERRITE_PF "ferrite"
OBJECT_DECLARE_SIMPLE_TYPE(FerritePf, FERRITE_PF)

#define TYPE_FERRITE_VF "ferrite-vf"
OBJECT_DECLARE_SIMPLE_TYPE(FerriteVf, FERRITE_VF)

/*
 * What the PF and a VF have in common: BARs, capabilities, interrupts.
 */
typedef struct FerriteFunction {
    PCIDevice *pci;
    /* Whose model this function belongs to. */
    FerritePf *pf;
    /* 0 is the PF, 1 + i is VF i. */
    uint16_t number;

    MemoryRegion regs;
    MemoryRegion doorbells;
    MemoryRegion msix;

    /* Vectors that the model raised since it was entered. */
    DECLARE_BITMAP(raised, PCI_MSIX_FLAGS_QSIZE + 1);
    bool any_raised;

    /* A function-level reset that the model has not been told of yet. */
    bool flr_pending;
    /* What the model was told. */
    bool bus_master;
} FerriteFunction;

struct FerritePf {
    PCIDevice parent_obj;

    FerriteFunction function;
    /* All functions by number; NULL where there is none (yet). */
    FerriteFunction **functions;

    FerriteDevice *model;
    /* Outlives the model: a doorbell write may be under way when it goes. */
    FerriteLatch *latch;
    QEMUBH *bh;
    QEMUTimer *timer;
    VMChangeStateEntry *vm_state;

    /* The model is being called. */
    bool inside;
    /* A function raised a vector. */
    bool any_raised;
    /* The model's timer ran out. */
    bool timer_due;
    /* Packets of the uplink that had to wait may be offered again. */
    bool uplink_ready;
    /* The configuration space changed while the model was being called. */
    bool sync_missed;
    /* Everything was reset while the model was being called. */
    bool reset_pending;
    /* What the model was told. */
    uint16_t num_vfs;

    NICState *nic;
    NICConf conf;
    /* Packets that the model sent and the other end did not take yet. */
    unsigned uplink_waiting;

    /* The model's state, while it is saved or loaded. */
    uint8_t *state;
    uint32_t state_size;

    /* Properties. */
    uint16_t num_queues;
    uint16_t max_vfs;
    uint16_t max_sfs;
    uint16_t vectors;
    uint16_t vf_vectors;
    char *serial;
    QemuUUID uuid;
    bool vf_controls;
    bool faults;
    char *fault_script;
};

struct FerriteVf {
    PCIDevice parent_obj;

    FerriteFunction function;
};

/*
 * Brackets around calls into the model. What the model asks for meanwhile and
 * may lead back to the device (interrupts are writes to wherever the guest put
 * their address) is kept, and done by ferrite_leave(). ferrite_enter() returns
 * false if the model is entered already, or gone.
 */
bool ferrite_enter(FerritePf *pf);
void ferrite_leave(FerritePf *pf);

/* Tells the model what became of the configuration space of all functions. */
void ferrite_sync(FerritePf *pf);
/* Has the model run soon. Any thread may call this. */
void ferrite_schedule(FerritePf *pf);

/* function.c */

/* Returns the id of the device for traces and messages. */
const char *ferrite_name(FerritePf *pf);
/*
 * Registers BARs, adds the capabilities that PF and VF have in common. Returns
 * the offset at which further extended capabilities may be added, 0 on error.
 */
uint16_t ferrite_function_realize(FerriteFunction *function,
                                  uint64_t doorbells_size, uint16_t vectors,
                                  Error **errp);
void ferrite_function_unrealize(FerriteFunction *function);
/* Resets what is here of a function, which the PCI core does not know of. */
void ferrite_function_reset(FerriteFunction *function);
/* Has the model reset a function. */
void ferrite_function_flr(FerriteFunction *function);
/* Returns whether the reset under way is a function-level reset. */
bool ferrite_function_in_flr(FerriteFunction *function);
/*
 * Changes the number of vectors that the MSI-X capability tells, to no more
 * than the function was realized with.
 */
void ferrite_function_set_vectors(FerriteFunction *function, uint16_t vectors);
void ferrite_function_add_acs(FerriteFunction *function, uint16_t offset);
/* Sends what the model raised. */
void ferrite_function_deliver(FerriteFunction *function);

/* config.c */

/*
 * Writes to the configuration space, with what follows: a function-level reset,
 * and what the model is told.
 */
void ferrite_function_write_config(FerriteFunction *function, uint32_t addr,
                                   uint32_t val, int len);

/* host.c */
FerriteHost ferrite_host(FerritePf *pf);

/* net.c */
void ferrite_net_realize(FerritePf *pf);
void ferrite_net_unrealize(FerritePf *pf);
void ferrite_net_send(FerritePf *pf, const uint8_t *frame, size_t len);
void ferrite_net_flush(FerritePf *pf);
void ferrite_net_sync(FerritePf *pf);

/* vmstate.c */
extern const VMStateDescription ferrite_vmstate;

#endif /* HW_NET_FERRITE_H */
