/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ferrite DPU: what the model asks of the machine.
 *
 * All of this is called from within the model, under the BQL.
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "qemu/main-loop.h"
#include "qemu/rcu.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci.h"
#include "hw/pci/pcie_regs.h"

#include "ferrite.h"
#include "trace.h"

/*
 * DMA is for memory only: a device that a guest could aim at other devices, or
 * at itself, would be called back from its own access.
 */
static MemTxAttrs ferrite_attrs(FerriteFunction *function)
{
    return (MemTxAttrs) {
        .memory = 1,
        .requester_id = pci_requester_id(function->pci),
    };
}

static FerriteFunction *ferrite_lookup(FerritePf *pf, uint16_t number)
{
    return number <= pf->max_vfs ? pf->functions[number] : NULL;
}

static bool ferrite_dma(FerritePf *pf, uint16_t number, uint64_t addr,
                        void *buf, size_t len, DMADirection direction)
{
    FerriteFunction *function = ferrite_lookup(pf, number);

    /* The address space is the function's own: bus master bit, vIOMMU. */
    if (function &&
        pci_dma_rw(function->pci, addr, buf, len, direction,
                   ferrite_attrs(function)) == MEMTX_OK) {
        return true;
    }
    trace_ferrite_dma_fault(ferrite_name(pf), number,
                            direction == DMA_DIRECTION_FROM_DEVICE, addr, len);
    return false;
}

static bool ferrite_dma_read(void *opaque, uint16_t function, uint64_t addr,
                             uint8_t *buf, size_t len)
{
    return ferrite_dma(opaque, function, addr, buf, len,
                       DMA_DIRECTION_TO_DEVICE);
}

static bool ferrite_dma_write(void *opaque, uint16_t function, uint64_t addr,
                              const uint8_t *buf, size_t len)
{
    return ferrite_dma(opaque, function, addr, (uint8_t *)buf, len,
                       DMA_DIRECTION_FROM_DEVICE);
}

/*
 * Finds the memory behind an aligned word, so that it can be accessed as a
 * whole; pci_dma_rw() copies bytes. Called within an RCU critical section.
 */
static uint32_t *ferrite_dma_word(FerritePf *pf, uint16_t number,
                                  uint64_t addr, bool write)
{
    FerriteFunction *function = ferrite_lookup(pf, number);
    MemTxAttrs attrs;
    MemoryRegion *mr;
    hwaddr offset;
    hwaddr len = sizeof(uint32_t);

    if (!function || !QEMU_IS_ALIGNED(addr, sizeof(uint32_t))) {
        return NULL;
    }
    attrs = ferrite_attrs(function);
    mr = address_space_translate(pci_get_address_space(function->pci), addr,
                                 &offset, &len, write, attrs);
    if (len < sizeof(uint32_t) || !memory_region_is_ram(mr) ||
        !memory_access_is_direct(mr, write, attrs)) {
        return NULL;
    }
    return memory_region_get_ram_ptr(mr) + offset;
}

static bool ferrite_dma_load32(void *opaque, uint16_t function, uint64_t addr,
                               uint32_t *value)
{
    FerritePf *pf = opaque;
    uint32_t *word;

    RCU_READ_LOCK_GUARD();
    word = ferrite_dma_word(pf, function, addr, false);
    if (!word) {
        trace_ferrite_dma_fault(ferrite_name(pf), function, false, addr,
                                sizeof(*word));
        return false;
    }
    *value = le32_to_cpu(qatomic_load_acquire(word));
    return true;
}

static bool ferrite_dma_store32(void *opaque, uint16_t function, uint64_t addr,
                                uint32_t value)
{
    FerritePf *pf = opaque;
    FerriteFunction *f;
    MemTxResult result = MEMTX_ERROR;

    RCU_READ_LOCK_GUARD();
    if (ferrite_dma_word(pf, function, addr, true)) {
        f = ferrite_lookup(pf, function);
        /* What was written before is seen by who sees the word. */
        smp_mb_release();
        /* One store, which marks the page dirty and drops code made of it. */
        address_space_stl_le(pci_get_address_space(f->pci), addr, value,
                             ferrite_attrs(f), &result);
        /*
         * Doorbell and interrupt suppression need it: either the driver sees
         * the word, or what is read after it is what the driver wrote.
         */
        smp_mb();
    }
    if (result != MEMTX_OK) {
        trace_ferrite_dma_fault(ferrite_name(pf), function, true, addr,
                                sizeof(value));
    }
    return result == MEMTX_OK;
}

static void ferrite_raise(void *opaque, uint16_t number, uint16_t vector)
{
    FerritePf *pf = opaque;
    FerriteFunction *function = ferrite_lookup(pf, number);

    if (function && vector < function->pci->msix_entries_nr) {
        set_bit(vector, function->raised);
        function->any_raised = true;
        pf->any_raised = true;
    }
}

static bool ferrite_is_pending(void *opaque, uint16_t number, uint16_t vector)
{
    FerritePf *pf = opaque;
    FerriteFunction *function = ferrite_lookup(pf, number);
    PCIDevice *pci;

    if (!function || vector >= function->pci->msix_entries_nr) {
        return false;
    }
    pci = function->pci;
    /* What was raised in this very run is not in the table yet. */
    return pci->msix_pba[vector / 8] & BIT(vector % 8) ||
           (test_bit(vector, function->raised) && msix_enabled(pci) &&
            msix_is_masked(pci, vector));
}

static void ferrite_set_vectors(void *opaque, uint16_t number,
                                uint16_t vectors)
{
    FerritePf *pf = opaque;
    FerriteFunction *function = ferrite_lookup(pf, number);

    trace_ferrite_vectors(ferrite_name(pf), number, vectors);
    if (function) {
        ferrite_function_set_vectors(function, vectors);
    }
}

static void ferrite_report_error(void *opaque, uint16_t number,
                                 uint32_t severity)
{
    FerriteFunction *function = ferrite_lookup(opaque, number);
    PCIEAERErr error = { };

    if (!function) {
        return;
    }
    error.source_id = pci_requester_id(function->pci);
    switch (severity) {
    case 0:
        error.status = PCI_ERR_COR_BAD_TLP;
        error.flags = PCIE_AER_ERR_IS_CORRECTABLE;
        break;
    case 1:
        error.status = PCI_ERR_UNC_COMP_TIME;
        break;
    default:
        error.status = PCI_ERR_UNC_DLP;
        break;
    }
    pcie_aer_inject_error(function->pci, &error);
}

static void ferrite_uplink_send(void *opaque, const uint8_t *frame, size_t len)
{
    ferrite_net_send(opaque, frame, len);
}

static void ferrite_uplink_ready(void *opaque)
{
    FerritePf *pf = opaque;

    pf->uplink_ready = true;
    ferrite_schedule(pf);
}

static uint64_t ferrite_now(void *opaque)
{
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL);
}

static void ferrite_set_timer(void *opaque, uint64_t at)
{
    FerritePf *pf = opaque;

    timer_mod_ns(pf->timer, MIN(at, INT64_MAX));
}

static void ferrite_cancel_timer(void *opaque)
{
    FerritePf *pf = opaque;

    timer_del(pf->timer);
    pf->timer_due = false;
}

static void ferrite_schedule_run(void *opaque)
{
    ferrite_schedule(opaque);
}

static void ferrite_trace(void *opaque, uint32_t kind, const uint64_t *words)
{
    const char *dev = ferrite_name(opaque);
    uint64_t a = words[0];
    uint64_t b = words[1];
    uint64_t c = words[2];
    uint64_t d = words[3];

    switch (kind) {
    case FERRITE_TRACE_RESET:
        trace_ferrite_reset(dev, a);
        break;
    case FERRITE_TRACE_ADMIN_QUEUE:
        trace_ferrite_admin_queue(dev, a, b, c);
        break;
    case FERRITE_TRACE_COMMAND:
        trace_ferrite_command(dev, a, b, c, d);
        break;
    case FERRITE_TRACE_EVENT:
        trace_ferrite_event(dev, a, b, c, d);
        break;
    case FERRITE_TRACE_QUEUE_CREATED:
        trace_ferrite_queue_created(dev, a, b, c, d);
        break;
    case FERRITE_TRACE_QUEUE_DESTROYED:
        trace_ferrite_queue_destroyed(dev, a, b, c);
        break;
    case FERRITE_TRACE_QUEUE_STOPPED:
        trace_ferrite_queue_stopped(dev, a, b, c, d);
        break;
    case FERRITE_TRACE_COMPLETIONS:
        trace_ferrite_completions(dev, a, b, c, d);
        break;
    case FERRITE_TRACE_INTERRUPT:
        trace_ferrite_interrupt(dev, a, b);
        break;
    case FERRITE_TRACE_FAULT:
        trace_ferrite_fault(dev, a, b);
        break;
    case FERRITE_TRACE_VFS:
        trace_ferrite_vfs(dev, a);
        break;
    case FERRITE_TRACE_UPLINK:
        trace_ferrite_uplink(dev, a);
        break;
    case FERRITE_TRACE_FUNCTION:
        trace_ferrite_function(dev, a, b);
        break;
    case FERRITE_TRACE_SUSPENDED:
        trace_ferrite_suspended(dev, a, b);
        break;
    case FERRITE_TRACE_LOADED:
        trace_ferrite_loaded(dev, a, b, c);
        break;
    case FERRITE_TRACE_GUEST_ERROR:
        trace_ferrite_guest_error(dev, a, b, c);
        break;
    default:
        /* A model that tells more than this glue knows. */
        break;
    }
}

FerriteHost ferrite_host(FerritePf *pf)
{
    return (FerriteHost) {
        .opaque = pf,
        .dma_read = ferrite_dma_read,
        .dma_write = ferrite_dma_write,
        .dma_load32 = ferrite_dma_load32,
        .dma_store32 = ferrite_dma_store32,
        .raise = ferrite_raise,
        .is_pending = ferrite_is_pending,
        .set_vectors = ferrite_set_vectors,
        .report_error = ferrite_report_error,
        .uplink_send = ferrite_uplink_send,
        .uplink_ready = ferrite_uplink_ready,
        .now = ferrite_now,
        .set_timer = ferrite_set_timer,
        .cancel_timer = ferrite_cancel_timer,
        .schedule = ferrite_schedule_run,
        .trace = ferrite_trace,
    };
}
