// SPDX-License-Identifier: GPL-2.0

//! Health of virtqueues: one that the device stopped is told of, and goes on from where it stood.

use ferrite_abi::{
    bar::Doorbell,
    cmd::{
        QueryVirtioState,
        QueryVirtqueue,
        QueryVirtqueueStats,
        VirtqueueStats, //
    },
    event::{
        QueueError,
        QueueSyndrome, //
    },
    wire::U16, //
};
use ferrite_aux::{
    Ailment,
    Caretaker,
    CmdError,
    Function,
    Part, //
};
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use kernel_ext::devlink::{
    ExtAck,
    Message, //
};

use crate::device::Queues;

/// Parts of the function that this driver looks after.
pub(crate) const PARTS: &[Part] = &[Part::Virtio];

/// Looks after the virtqueues of the device that the function is, while it is one.
#[pin_data]
pub(crate) struct Nurse {
    function: Function,
    #[pin]
    patient: Mutex<Option<Arc<Queues>>>,
}

impl Nurse {
    pub(crate) fn new(function: Function) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                function,
                patient <- new_mutex!(None, "ferrite_vdpa_patient"),
            }),
            GFP_KERNEL,
        )
    }

    /// Looks after these queues from now on, or after none.
    pub(crate) fn look_after(&self, queues: Option<Arc<Queues>>) {
        let before = core::mem::replace(&mut *self.patient.lock(), queues);
        drop(before);
        self.function.report_well(Part::Virtio);
    }

    fn patient(&self) -> Option<Arc<Queues>> {
        self.patient.lock().clone()
    }

    /// Takes note that the device stopped a queue.
    pub(crate) fn stopped(&self, error: QueueError) {
        let (index, syndrome) = (error.index.get(), QueueSyndrome(error.syndrome.get()));
        pr_err!(
            "function {:#x}: virtqueue {index} stopped: {syndrome:?}\n",
            self.function.id().0
        );
        if let Some(queues) = self.patient() {
            queues.note_stopped(index);
            // Without reporter it is the driver's of the virtio device to reset it, which the device has told it.
            self.function
                .report(Part::Virtio, index, Ailment::Stopped(syndrome));
        }
    }

    fn tell(&self, message: &mut Message<'_>, everything: bool) -> Result {
        let Some(queues) = self.patient() else {
            message.flag(c"made", false);
            return Ok(());
        };
        message.flag(c"made", true);
        match self.function.send(QueryVirtioState {}) {
            Ok(state) => message.number(c"status", state.status.into()),
            Err(error) => message.text(c"status", fmt!("{error}"))?,
        }
        message.list(c"queues", queues.looks()?, |entry, look| {
            entry.number(c"index", look.index.into());
            entry.flag(c"ready", look.ready);
            entry.flag(c"stopped", look.stopped);
            let index = U16::new(look.index);
            let rsvd = [0; 2];
            if let Ok(state) = self.function.send(QueryVirtqueue { index, rsvd }) {
                entry.number(c"avail", state.avail.get().into());
                entry.number(c"used", state.used.get().into());
            }
            if !everything {
                return Ok(());
            }
            let Ok((_, stats)) = self.function.fetch(QueryVirtqueueStats { index, rsvd }) else {
                return Ok(());
            };
            entry.object(c"counters", |counters| {
                for (name, count) in VirtqueueStats::NAMES.iter().zip(stats.values()) {
                    counters.number(&CString::try_from_fmt(fmt!("{name}"))?, count);
                }
                Ok(())
            })
        })
    }
}

impl Caretaker for Nurse {
    fn recover(&self, _part: Part, extack: &mut ExtAck<'_>) -> Result {
        let Some(queues) = self.patient() else {
            return Ok(());
        };
        queues.mend(&self.function).map_err(|error| {
            extack.set(fmt!("the queues could not be made ready again: {error:?}"));
            error
        })
    }

    fn diagnose(&self, _part: Part, message: &mut Message<'_>) -> Result {
        self.tell(message, false)
    }

    fn dump(&self, _part: Part, message: &mut Message<'_>) -> Result {
        self.tell(message, true)
    }

    fn test(
        &self,
        _part: Part,
        stop: &dyn Fn(u16) -> Result<(), CmdError>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let ready = match self.patient() {
            Some(queues) => queues
                .looks()?
                .iter()
                .any(|look| look.index == 0 && look.ready),
            None => false,
        };
        if !ready {
            extack.set(fmt!("nobody drives a virtio-net device of the function"));
            return Err(EAGAIN);
        }
        stop(0).map_err(|error| {
            extack.set(fmt!("the device does not take the order to fail: {error}"));
            Error::from(error)
        })?;
        self.function.ring(Doorbell::Virtio(0));
        Ok(())
    }
}
