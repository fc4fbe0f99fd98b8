// SPDX-License-Identifier: GPL-2.0

//! State of the link, and other events of the function.

use crate::port::{
    Port,
    LINK,
    RESET,
    RULES, //
};
use ferrite_abi::{
    cmd::{
        QueryLink,
        QueueKind, //
    },
    event::{
        Event,
        EventKind,
        QueueError,
        QueueSyndrome, //
    },
};
use ferrite_aux::{
    Ailment,
    EventHandler,
    Part, //
};
use kernel::{
    prelude::*,
    sync::{
        aref::ARef,
        atomic::Relaxed, //
    },
};
use kernel_ext::netdev::Device;

/// Asks the device for the state of the link and tells the stack. To be called under the RTNL, so
/// that an answer is not overtaken by an older one.
pub(crate) fn update(device: &Device<Port>) {
    let port = device.data().get_ref();
    match port.function.send(QueryLink {}) {
        Ok(link) => set(device, if link.up == 0 { 0 } else { link.speed.get() }),
        // A device that does not answer has no link to speak of.
        Err(_) => set(device, 0),
    }
}

/// Notes that there is no link.
pub(crate) fn lost(device: &Device<Port>) {
    set(device, 0);
}

fn set(device: &Device<Port>, speed: u32) {
    device.data().speed.store(speed, Relaxed);
    device.set_carrier(speed != 0);
}

/// Sees to a queue that the device stopped.
fn stopped(device: &Device<Port>, error: QueueError) {
    let Some(part) = Part::of(QueueKind(error.kind.get())) else {
        return;
    };
    let (index, syndrome) = (error.index.get(), QueueSyndrome(error.syndrome.get()));
    if device.may_report() {
        dev_err!(
            device,
            "{} {} stopped: {:?}\n",
            part.queue(),
            index,
            syndrome
        );
    }
    if part == Part::Rx {
        let control = device.data().get_ref().control.lock();
        if let Some(pair) = control.pairs().get(usize::from(index)) {
            pair.interrupts().break_rx();
        }
    }
    Port::fell_ill(device, part, index, Ailment::Stopped(syndrome));
}

/// Takes the events of the function. What is to be done about them is done under the RTNL.
pub(crate) struct Events(pub(crate) ARef<Device<Port>>);

impl EventHandler for Events {
    fn event(&self, event: &Event) {
        let device = &*self.0;
        match EventKind(event.kind.get()) {
            // A device that is not well may not answer, and then has no link.
            EventKind::LINK_CHANGE | EventKind::HEALTH_CHANGE => device.schedule_work(LINK),
            // The function was reset: its queues are gone, and the rules of a switch.
            EventKind::FUNCTION_CHANGE => device.schedule_work(RESET | RULES),
            EventKind::QUEUE_ERROR => {
                if let Some(error) = event.payload::<QueueError>() {
                    stopped(device, error);
                }
            }
            _ => {}
        }
    }
}
