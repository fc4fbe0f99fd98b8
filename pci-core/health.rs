// SPDX-License-Identifier: GPL-2.0

//! Looks after the device while nobody waits for it: a heartbeat that stops, registers that read as
//! all ones, a fatal state. Commands fail at once from then on.

use kernel::{
    impl_has_delayed_work,
    new_delayed_work,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    time::{
        msecs_to_jiffies,
        Msecs, //
    },
    workqueue::{
        DelayedWork,
        WorkItem, //
    }, //
};
use kernel_ext::work::{
    self,
    cancel_delayed_sync, //
};

use crate::adminq::AdminQueue;

/// How often to look.
const INTERVAL: Msecs = 1000;

#[pin_data]
struct Watch {
    admin: Arc<AdminQueue>,
    over: Atomic<bool>,
    #[pin]
    work: DelayedWork<Watch>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Watch { self.work }
}

impl Watch {
    fn enqueue(self: Arc<Self>) {
        let _ = work::queue().enqueue_delayed(self, msecs_to_jiffies(INTERVAL));
    }
}

impl WorkItem for Watch {
    type Pointer = Arc<Watch>;

    fn run(this: Arc<Watch>) {
        this.admin.tick();
        if !this.over.load(Relaxed) {
            this.enqueue();
        }
    }
}

/// The device is looked after while this lives.
pub(crate) struct Health(Arc<Watch>);

impl Health {
    /// Looks after the device behind `admin`.
    pub(crate) fn new(admin: Arc<AdminQueue>) -> Result<Self> {
        let watch = Arc::pin_init(
            pin_init!(Watch {
                admin,
                over: Atomic::new(false),
                work <- new_delayed_work!("ferrite_health"),
            }),
            GFP_KERNEL,
        )?;
        watch.clone().enqueue();
        Ok(Self(watch))
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.0.over.store(true, Relaxed);
        // It may have missed that and be queued again, once.
        while cancel_delayed_sync(&self.0) {}
    }
}
