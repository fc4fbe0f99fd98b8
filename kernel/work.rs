// SPDX-License-Identifier: GPL-2.0

//! Cancelling of work items, which [`kernel::workqueue`] can only enqueue, and a queue for them.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use kernel::{
    bindings,
    prelude::*,
    sync::Arc,
    workqueue::{
        HasDelayedWork,
        HasWork,
        Queue,
        Work,
        WorkItem, //
    },
};

/// Returns the system's queue for items that may run on any CPU.
///
/// The queues of [`kernel::workqueue`] that would do are deprecated in C, which warns of them.
pub fn queue() -> &'static Queue {
    // SAFETY: `system_dfl_wq` is set during boot, before there are modules, and lives for ever.
    unsafe { Queue::from_raw(bindings::system_dfl_wq) }
}

/// Returns the `work_struct` in `item`.
fn raw<T: HasWork<T, ID>, const ID: u64>(item: &Arc<T>) -> *mut bindings::work_struct {
    let item = Arc::as_ptr(item).cast_mut();
    // SAFETY: `item` points to the value of a live `Arc`; so does then the pointer to its `Work`.
    unsafe { Work::raw_get(T::raw_get_work(item)) }
}

/// Drops the reference that the queue held to `item`.
///
/// # Safety
///
/// The caller has just taken an enqueued `item` back from its queue.
unsafe fn dequeued<T>(item: &Arc<T>) {
    // SAFETY: enqueueing turned a reference into a pointer by `Arc::into_raw`; the caller took it
    // back, so that `WorkItemPointer::run` is not given it.
    drop(unsafe { Arc::from_raw(Arc::as_ptr(item)) });
}

/// Takes `item` back from its queue and waits until it does not run; returns whether it was
/// waiting to run.
///
/// It may be enqueued again at any time. Must not be called by the item itself, nor with a lock
/// that the item takes. May sleep.
pub fn cancel_sync<T, const ID: u64>(item: &Arc<T>) -> bool
where
    T: WorkItem<ID, Pointer = Arc<T>> + HasWork<T, ID>,
{
    // SAFETY: `raw` returns an initialized `work_struct` that lives as long as `item`.
    let pending = unsafe { bindings::cancel_work_sync(raw::<T, ID>(item)) };
    if pending {
        // SAFETY: the item was pending and `cancel_work_sync` removed it.
        unsafe { dequeued(item) };
    }
    pending
}

/// As [`cancel_sync`], for an item that may also be waiting for its delay to pass.
pub fn cancel_delayed_sync<T, const ID: u64>(item: &Arc<T>) -> bool
where
    T: WorkItem<ID, Pointer = Arc<T>> + HasDelayedWork<T, ID>,
{
    let work = raw::<T, ID>(item);
    // SAFETY: by the contract of `HasDelayedWork` the `work_struct` is the one in a `delayed_work`,
    // which `raw` found initialized and which lives as long as `item`.
    let pending = unsafe {
        let delayed = kernel::container_of!(work, bindings::delayed_work, work);
        bindings::cancel_delayed_work_sync(delayed)
    };
    if pending {
        // SAFETY: the item was pending and `cancel_delayed_work_sync` removed it.
        unsafe { dequeued(item) };
    }
    pending
}

/// Waits until `item` has run if it was enqueued. May sleep.
pub fn flush<T, const ID: u64>(item: &Arc<T>)
where
    T: WorkItem<ID, Pointer = Arc<T>> + HasWork<T, ID>,
{
    // SAFETY: `raw` returns an initialized `work_struct` that lives as long as `item`.
    unsafe { bindings::flush_work(raw::<T, ID>(item)) };
}

#[kunit_tests(ferrite_work)]
mod tests {
    use super::*;
    use kernel::{
        impl_has_delayed_work,
        new_delayed_work,
        sync::atomic::{
            Atomic,
            Relaxed, //
        },
        time::msecs_to_jiffies,
        workqueue::DelayedWork, //
    };

    const LATER: u32 = 3_600_000;

    /// Counts its runs and its drops.
    #[derive(Clone)]
    struct Counts(Arc<(Atomic<u32>, Atomic<u32>)>);

    impl Counts {
        fn new() -> Result<Self> {
            Ok(Self(Arc::new(
                (Atomic::new(0), Atomic::new(0)),
                GFP_KERNEL,
            )?))
        }

        fn get(&self) -> (u32, u32) {
            (self.0 .0.load(Relaxed), self.0 .1.load(Relaxed))
        }
    }

    #[pin_data(PinnedDrop)]
    struct Item {
        counts: Counts,
        #[pin]
        work: DelayedWork<Item>,
    }

    impl_has_delayed_work! {
        impl HasDelayedWork<Self> for Item { self.work }
    }

    impl Item {
        fn new(counts: Counts) -> Result<Arc<Self>> {
            let init = pin_init!(Self {
                counts,
                work <- new_delayed_work!("ferrite_work_test"),
            });
            Arc::pin_init(init, GFP_KERNEL)
        }
    }

    impl WorkItem for Item {
        type Pointer = Arc<Self>;

        fn run(this: Arc<Self>) {
            this.counts.0 .0.fetch_add(1, Relaxed);
        }
    }

    #[pinned_drop]
    impl PinnedDrop for Item {
        fn drop(self: Pin<&mut Self>) {
            self.counts.0 .1.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn cancelled_item_neither_runs_nor_leaks() -> Result {
        let counts = Counts::new()?;
        let item = Item::new(counts.clone())?;
        let queued = queue().enqueue_delayed(item.clone(), msecs_to_jiffies(LATER));
        assert!(queued.is_ok());
        assert!(cancel_delayed_sync(&item));
        assert!(!cancel_delayed_sync(&item));
        drop(item);
        assert_eq!(counts.get(), (0, 1));
        Ok(())
    }

    #[test]
    fn item_can_be_enqueued_after_cancelling() -> Result {
        let counts = Counts::new()?;
        let item = Item::new(counts.clone())?;
        let _ = queue().enqueue_delayed(item.clone(), msecs_to_jiffies(LATER));
        assert!(cancel_delayed_sync(&item));
        assert!(queue().enqueue(item.clone()).is_ok());
        flush(&item);
        assert!(!cancel_sync(&item));
        drop(item);
        assert_eq!(counts.get(), (1, 1));
        Ok(())
    }
}
