/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Ferrite DPU: the uplink, on any network backend.
 */

#include "qemu/osdep.h"
#include "net/net.h"

#include "ferrite.h"
#include "trace.h"

/* Packets that wait for the other end of the uplink to take them. */
#define FERRITE_UPLINK_QUEUE 1024

static bool ferrite_net_can_receive(NetClientState *nc)
{
    FerritePf *pf = qemu_get_nic_opaque(nc);
    bool can;

    /* Memory is at rest while the machine is. */
    if (!runstate_is_running()) {
        return false;
    }
    /*
     * A backend may answer from within the call that sends: the answer waits
     * in its queue until the model has returned.
     */
    if (!ferrite_enter(pf)) {
        pf->uplink_ready = true;
        ferrite_schedule(pf);
        return false;
    }
    can = ferrite_device_can_receive(pf->model);
    ferrite_leave(pf);
    return can;
}

static ssize_t ferrite_net_receive(NetClientState *nc, const uint8_t *frame,
                                   size_t len)
{
    FerritePf *pf = qemu_get_nic_opaque(nc);
    bool taken;

    if (!ferrite_enter(pf)) {
        pf->uplink_ready = true;
        ferrite_schedule(pf);
        return 0;
    }
    taken = ferrite_device_receive(pf->model, frame, len);
    ferrite_leave(pf);
    trace_ferrite_uplink_receive(ferrite_name(pf), len, taken);
    /* 0 keeps the packet with the sender until ferrite_net_flush(). */
    return taken ? len : 0;
}

static void ferrite_net_link_status_changed(NetClientState *nc)
{
    ferrite_net_sync(qemu_get_nic_opaque(nc));
}

static NetClientInfo ferrite_net_info = {
    .type = NET_CLIENT_DRIVER_NIC,
    .size = sizeof(NICState),
    .can_receive = ferrite_net_can_receive,
    .receive = ferrite_net_receive,
    .link_status_changed = ferrite_net_link_status_changed,
};

/* Tells the model whether the cable is plugged in: into something, that is. */
void ferrite_net_sync(FerritePf *pf)
{
    NetClientState *nc = qemu_get_queue(pf->nic);

    if (ferrite_enter(pf)) {
        ferrite_device_set_uplink(pf->model, nc->peer && !nc->link_down);
        ferrite_leave(pf);
    }
}

/* A packet that had to wait for the other end was sent, or given up. */
static void ferrite_net_sent(NetClientState *nc, ssize_t result)
{
    FerritePf *pf = qemu_get_nic_opaque(nc);

    pf->uplink_waiting--;
}

void ferrite_net_send(FerritePf *pf, const uint8_t *frame, size_t len)
{
    bool dropped = pf->uplink_waiting >= FERRITE_UPLINK_QUEUE;

    trace_ferrite_uplink_send(ferrite_name(pf), len, dropped);
    /* What a switch does where a port is congested. */
    if (dropped) {
        return;
    }
    if (qemu_send_packet_async(qemu_get_queue(pf->nic), frame, len,
                               ferrite_net_sent) == 0) {
        pf->uplink_waiting++;
    }
}

void ferrite_net_flush(FerritePf *pf)
{
    qemu_flush_queued_packets(qemu_get_queue(pf->nic));
}

void ferrite_net_realize(FerritePf *pf)
{
    DeviceState *dev = DEVICE(pf);

    pf->nic = qemu_new_nic(&ferrite_net_info, &pf->conf,
                           object_get_typename(OBJECT(pf)), dev->id,
                           &dev->mem_reentrancy_guard, pf);
    qemu_format_nic_info_str(qemu_get_queue(pf->nic), pf->conf.macaddr.a);
    ferrite_net_sync(pf);
}

void ferrite_net_unrealize(FerritePf *pf)
{
    if (pf->nic) {
        qemu_del_nic(pf->nic);
        pf->nic = NULL;
    }
}
