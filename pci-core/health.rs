// SPDX-License-Identifier: GPL-2.0

//! Looks after the device while nobody waits for it: a heartbeat that stops, registers that read as
//! all ones, a fatal state. Commands fail at once from then on, and health reporters tell.

use kernel::{
    impl_has_delayed_work,
    new_delayed_work,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        new_mutex,
        Arc,
        Mutex, //
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

use crate::{
    adminq::AdminQueue,
    reporters::Reporters, //
};

/// How often to look.
const INTERVAL: Msecs = 1000;

#[pin_data]
struct Watch {
    admin: Arc<AdminQueue>,
    over: Atomic<bool>,
    #[pin]
    reporters: Mutex<Option<Reporters>>,
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
        if let Some(reporters) = &mut *this.reporters.lock() {
            reporters.look();
        }
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
                reporters <- new_mutex!(None),
                work <- new_delayed_work!("ferrite_health"),
            }),
            GFP_KERNEL,
        )?;
        watch.clone().enqueue();
        Ok(Self(watch))
    }

    /// Has `reporters` tell what is seen, until what is returned is dropped. Their instance must be registered for so long.
    pub(crate) fn report_to(&self, reporters: Reporters) -> Reporting {
        *self.0.reporters.lock() = Some(reporters);
        Reporting(self.0.clone())
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.0.over.store(true, Relaxed);
        // It may have missed that and be queued again, once.
        while cancel_delayed_sync(&self.0) {}
    }
}

/// What is seen is told while this lives.
pub(crate) struct Reporting(Arc<Watch>);

impl Drop for Reporting {
    fn drop(&mut self) {
        // This waits for a report, and the recovery that it brought about. They go without the lock, which a report has
        // around that of the instance.
        let reporters = self.0.reporters.lock().take();
        drop(reporters);
    }
}
