// SPDX-License-Identifier: GPL-2.0

//! Looks for interrupts that were lost: a queue whose completions nobody reads.

use crate::{
    logic::memory::Stall,
    poll::Interrupts,
    stats::PairStats, //
};
use kernel::{
    impl_has_delayed_work, new_delayed_work, new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    time::msecs_to_jiffies,
    workqueue::{
        DelayedWork,
        WorkItem, //
    },
};
use kernel_ext::{
    napi::Scheduler,
    work::{
        cancel_delayed_sync,
        queue, //
    },
};

/// Milliseconds between two looks. A queue that stands still from one to the next is polled.
const PERIOD_MS: u32 = 500;

/// A queue pair that is looked at.
pub(crate) struct Watched {
    pub(crate) scheduler: Scheduler,
    pub(crate) interrupts: Arc<Interrupts>,
    pub(crate) stats: Arc<PairStats>,
    pub(crate) tx: Stall,
    pub(crate) rx: Stall,
}

/// The watchdog of a port.
#[pin_data]
pub(crate) struct Watchdog {
    #[pin]
    watched: Mutex<KVec<Watched>>,
    #[pin]
    work: DelayedWork<Self>,
}

impl_has_delayed_work! {
    impl HasDelayedWork<Self> for Watchdog { self.work }
}

impl Watchdog {
    /// Returns a watchdog that looks at nothing.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                watched <- new_mutex!(KVec::new(), "ferrite_net_watchdog"),
                work <- new_delayed_work!("ferrite_net_watchdog"),
            }),
            GFP_KERNEL,
        )
    }

    /// Looks at these queue pairs from now on.
    pub(crate) fn watch(self: &Arc<Self>, pairs: KVec<Watched>) {
        *self.watched.lock() = pairs;
        self.again();
    }

    /// Looks at nothing any more, and waits for a look that is under way.
    pub(crate) fn stop(self: &Arc<Self>) {
        let watched = core::mem::replace(&mut *self.watched.lock(), KVec::new());
        cancel_delayed_sync(self);
        drop(watched);
    }

    fn again(self: &Arc<Self>) {
        // It may be enqueued already, which is as good.
        let _ = queue().enqueue_delayed(self.clone(), msecs_to_jiffies(PERIOD_MS));
    }
}

impl WorkItem for Watchdog {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let mut watched = this.watched.lock();
        for pair in watched.iter_mut() {
            if pair.interrupts.is_stalled(&mut pair.tx, &mut pair.rx) {
                pair.stats.lost_interrupts.add(1);
                pair.scheduler.schedule();
            }
        }
        if !watched.is_empty() {
            this.again();
        }
    }
}
