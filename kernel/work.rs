// SPDX-License-Identifier: GPL-2.0

//! Cancelling of work items, which [`kernel::workqueue`] can only enqueue.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use kernel::{
    bindings,
    sync::Arc,
    workqueue::{
        HasDelayedWork,
        HasWork,
        Work,
        WorkItem, //
    },
};

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
