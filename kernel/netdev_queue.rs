// SPDX-License-Identifier: GPL-2.0

//! Transmit queues of a network device: flow control, byte limits, and what the driver has for each.

use crate::{
    bindings,
    netdev::{
        Device,
        Operations, //
    }, //
};
use core::{
    cell::UnsafeCell,
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    }, //
};
use kernel::{
    prelude::*,
    types::NotThreadSafe, //
};

/// A transmit queue, as the network stack sees it.
///
/// # Invariants
///
/// The pointer is valid for `'a`.
#[derive(Clone, Copy)]
pub struct TxQueue<'a>(*mut bindings::netdev_queue, PhantomData<&'a ()>);

impl TxQueue<'_> {
    /// # Safety
    ///
    /// `queue` is valid for the lifetime of what is returned.
    #[inline]
    pub(crate) unsafe fn from_raw(queue: *mut bindings::netdev_queue) -> Self {
        // INVARIANT: by the requirements of this function.
        Self(queue, PhantomData)
    }

    /// Counts `bytes` that were handed to the device, and returns whether it must be told of them
    /// now: no more packets follow at once, or the queue was stopped.
    #[inline]
    pub fn sent(&self, bytes: u32) -> bool {
        // SAFETY: the queue is valid.
        unsafe { bindings::ferrite_helper_netdev_tx_sent_queue(self.0, bytes) }
    }

    /// Stops the queue if fewer than `stop` descriptors are free, unless `wake` are free by the
    /// time that it is stopped. Returns whether it was stopped. To be called from `start_xmit` with
    /// all indices up to date.
    #[inline]
    pub fn maybe_stop(&self, free: impl Fn() -> u32, stop: u32, wake: u32) -> bool {
        if free() >= stop {
            return false;
        }
        // SAFETY: the queue is valid.
        unsafe { bindings::ferrite_helper_netif_tx_stop_queue(self.0) };
        // ORDERING: the helper ends with a full barrier, which pairs with that in `completed`:
        // either this sees the room, or that sees the stop.
        if free() < wake {
            return true;
        }
        // SAFETY: the queue is valid, and `start_xmit` runs, so that it need not be run again.
        unsafe { bindings::ferrite_helper_netif_tx_start_queue(self.0) };
        false
    }

    /// Counts packets and bytes of the stack's that the device is done with, and wakes the queue if
    /// it was stopped and `wake` descriptors are free. To be called from the poll with all indices
    /// up to date, if descriptors became free, be it by packets of XDP programs. Returns whether the
    /// queue was woken.
    #[inline]
    pub fn completed(
        &self,
        packets: u32,
        bytes: u32,
        free: impl FnOnce() -> u32,
        wake: u32,
    ) -> bool {
        // ORDERING: a full barrier, which pairs with that in `maybe_stop`.
        //
        // SAFETY: the queue is valid.
        unsafe { bindings::ferrite_helper_netdev_txq_completed(self.0, packets, bytes) };
        // SAFETY: the queue is valid.
        let stopped = || unsafe { bindings::ferrite_helper_netif_tx_queue_stopped(self.0) };
        if free() < wake || !stopped() {
            return false;
        }
        // SAFETY: the queue is valid.
        unsafe { bindings::netif_tx_wake_queue(self.0) };
        true
    }

    /// Lets packets be sent, if the queue was stopped.
    pub fn wake(&self) {
        // SAFETY: the queue is valid.
        unsafe { bindings::netif_tx_wake_queue(self.0) };
    }

    /// Forgets all bytes that were counted as handed to the device. To be called while nothing is
    /// being sent or completed.
    pub fn reset(&self) {
        // SAFETY: the queue is valid.
        unsafe { bindings::ferrite_helper_netdev_tx_reset_queue(self.0) };
    }
}

/// What the driver has for each transmit queue, under the lock of the queue.
pub(crate) struct TxSlots<T: Operations>(KVec<UnsafeCell<Option<T::TxQueue>>>);

impl<T: Operations> TxSlots<T> {
    pub(crate) fn new(count: u16) -> Result<Self> {
        let mut slots = KVec::with_capacity(count.into(), GFP_KERNEL)?;
        for _ in 0..count {
            slots.push(UnsafeCell::new(None), GFP_KERNEL)?;
        }
        Ok(Self(slots))
    }

    /// Returns what there is for queue `index`.
    ///
    /// # Safety
    ///
    /// The caller holds the lock of that queue for as long as what is returned lives, and calls
    /// this once meanwhile.
    #[inline]
    pub(crate) unsafe fn get(&self, index: u16) -> Option<&mut Option<T::TxQueue>> {
        let slot = self.0.get(usize::from(index))?;
        // SAFETY: by the requirements of this function.
        Some(unsafe { &mut *slot.get() })
    }
}

/// The lock of a transmit queue, held: nothing is being sent there.
///
/// # Invariants
///
/// The lock of queue `index` is held, and was taken by this.
pub struct TxGuard<'a, T: Operations> {
    device: &'a Device<T>,
    queue: TxQueue<'a>,
    index: u16,
    _not_send: NotThreadSafe,
}

impl<'a, T: Operations> TxGuard<'a, T> {
    pub(crate) fn new(device: &'a Device<T>, index: u16) -> Option<Self> {
        let queue = device.tx_queue(index)?;
        // SAFETY: the queue is valid.
        unsafe { bindings::ferrite_helper_netif_tx_lock_bh(queue.0) };
        // INVARIANT: it was just taken.
        Some(Self {
            device,
            queue,
            index,
            _not_send: NotThreadSafe,
        })
    }
}

impl<T: Operations> TxGuard<'_, T> {
    /// Tells the stack that something is being sent past it, so that it does not take the queue to
    /// hang.
    pub fn touch(&self) {
        // SAFETY: the queue is valid and its lock held.
        unsafe { bindings::ferrite_helper_netdev_txq_trans_update(self.queue.0) };
    }
}

impl<T: Operations> Deref for TxGuard<'_, T> {
    type Target = Option<T::TxQueue>;

    fn deref(&self) -> &Self::Target {
        // SAFETY: the lock is held by this guard, which is borrowed for as long.
        let slot = unsafe { self.device.tx_slots().get(self.index) };
        // PANIC: there are as many slots as queues, and `index` is that of a queue.
        slot.unwrap()
    }
}

impl<T: Operations> DerefMut for TxGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        // SAFETY: the lock is held by this guard, which is borrowed for as long, mutably.
        let slot = unsafe { self.device.tx_slots().get(self.index) };
        // PANIC: there are as many slots as queues, and `index` is that of a queue.
        slot.unwrap()
    }
}

impl<T: Operations> Drop for TxGuard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: this took the lock.
        unsafe { bindings::ferrite_helper_netif_tx_unlock_bh(self.queue.0) };
    }
}
