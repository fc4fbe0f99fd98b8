// SPDX-License-Identifier: GPL-2.0

//! Receive queues that are made anew one by one while the device works: the stack gives them memory of a
//! provider that way, such as another device's or a process's, and takes it back.
//!
//! C header: [`include/net/netdev_queues.h`](srctree/include/net/netdev_queues.h)

use crate::{
    bindings,
    netdev::{
        Builder,
        Device,
        Operations, //
    },
    netdev_lock::Lock, //
};
use core::{
    marker::PhantomData,
    mem::MaybeUninit, //
};
use kernel::{
    device,
    error::from_result,
    ffi::c_void,
    prelude::*, //
};

/// What a driver does for receive queues that are made anew one by one.
pub trait Restart: Operations {
    /// A receive queue that is not in use, with memory for packets: from where the stack says when the queue's
    /// [pool](crate::page_pool::PagePool) is made.
    type RxQueue: Send;

    /// Makes what receive queue `queue` can be started with, whether the device is up or not.
    fn alloc_rx(device: &Device<Self>, lock: &Lock, queue: u16) -> Result<Self::RxQueue>;

    /// Starts receive queue `queue`, which is stopped.
    ///
    /// # Errors
    ///
    /// Whatever it is, with what the queue was to be started with.
    fn start_rx(
        device: &Device<Self>,
        lock: &Lock,
        queue: u16,
        with: Self::RxQueue,
    ) -> Result<(), (Error, Self::RxQueue)>;

    /// Stops receive queue `queue`, which was started, and returns what it was started with. It may be started
    /// with that again.
    fn stop_rx(device: &Device<Self>, lock: &Lock, queue: u16) -> Result<Self::RxQueue>;
}

impl<T: Restart> Builder<T> {
    /// Has the stack make receive queues anew when it wants to. `device` is the one that reads and writes packets,
    /// of which all that are sent go through [`flight`](crate::skb::flight).
    pub fn restarts_queues(self, device: &device::Device) -> Self {
        let this = self.dma_device(device);
        // SAFETY: the device is valid and not registered; the table is static.
        unsafe {
            bindings::ferrite_helper_netdev_restarts_queues(
                this.device().as_ptr(),
                Table::<T>::OPS_REF,
            );
        }
        this
    }
}

/// Returns the error for a device that is up and whose queues are not, as the driver gave them up.
pub fn is_down() -> Error {
    // CAST: errno values are small.
    Error::from_errno(-(kernel::bindings::ENETDOWN as c_int))
}

/// Where the core keeps a queue that is not in use.
///
/// # Invariants
///
/// `queue` is initialized if `is_full`. Zeros are an empty one.
#[repr(C)]
struct Slot<Q> {
    is_full: bool,
    queue: MaybeUninit<Q>,
}

impl<Q> Slot<Q> {
    fn put(&mut self, queue: Q) {
        drop(self.take());
        self.queue.write(queue);
        // INVARIANT: it was just initialized.
        self.is_full = true;
    }

    fn take(&mut self) -> Option<Q> {
        // SAFETY: by the type's invariants the queue is initialized if it says so, which it then does no more.
        core::mem::take(&mut self.is_full).then(|| unsafe { self.queue.assume_init_read() })
    }
}

/// The C table of the operations of a `T`.
///
/// All functions here are called by the core only, with devices that have this table, so that a [`Builder`] of `T` made
/// them, and with their lock held. The memory for a queue is a [`Slot`], zeroed before any of them sees it.
struct Table<T: Restart>(PhantomData<T>);

#[expect(
    clippy::missing_safety_doc,
    reason = "what holds for all of them is said at `Table`"
)]
impl<T: Restart> Table<T> {
    const OPS: bindings::netdev_queue_mgmt_ops = bindings::netdev_queue_mgmt_ops {
        ndo_queue_mem_size: {
            // What the core's allocator aligns memory to at least.
            assert!(align_of::<Slot<T::RxQueue>>() <= align_of::<u64>());
            size_of::<Slot<T::RxQueue>>()
        },
        ndo_queue_mem_alloc: Some(Self::alloc),
        ndo_queue_mem_free: Some(Self::free),
        ndo_queue_start: Some(Self::start),
        ndo_queue_stop: Some(Self::stop),
        ndo_queue_get_dma_dev: Some(Self::dma_device),
        ..pin_init::zeroed()
    };
    const OPS_REF: &'static bindings::netdev_queue_mgmt_ops = &Self::OPS;

    unsafe extern "C" fn alloc(
        device: *mut bindings::net_device,
        _config: *mut bindings::netdev_queue_config,
        memory: *mut c_void,
        index: c_int,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, lock, slot) = unsafe { Self::arguments(device, memory) };
        from_result(|| {
            slot.put(T::alloc_rx(device, &lock, u16::try_from(index)?)?);
            Ok(0)
        })
    }

    unsafe extern "C" fn free(device: *mut bindings::net_device, memory: *mut c_void) {
        // SAFETY: see `Table`.
        let (_, _, slot) = unsafe { Self::arguments(device, memory) };
        drop(slot.take());
    }

    unsafe extern "C" fn start(
        device: *mut bindings::net_device,
        _config: *mut bindings::netdev_queue_config,
        memory: *mut c_void,
        index: c_int,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, lock, slot) = unsafe { Self::arguments(device, memory) };
        from_result(|| {
            let index = u16::try_from(index)?;
            let queue = slot.take().ok_or(EINVAL)?;
            T::start_rx(device, &lock, index, queue).map_err(|(error, queue)| {
                // The core frees it, or tries again.
                slot.put(queue);
                error
            })?;
            Ok(0)
        })
    }

    unsafe extern "C" fn stop(
        device: *mut bindings::net_device,
        memory: *mut c_void,
        index: c_int,
    ) -> c_int {
        // SAFETY: see `Table`.
        let (device, lock, slot) = unsafe { Self::arguments(device, memory) };
        from_result(|| {
            slot.put(T::stop_rx(device, &lock, u16::try_from(index)?)?);
            Ok(0)
        })
    }

    unsafe extern "C" fn dma_device(
        device: *mut bindings::net_device,
        _index: c_int,
    ) -> *mut bindings::device {
        // SAFETY: see `Table`.
        unsafe { Device::<T>::from_raw(device) }.dma_device()
    }

    /// # Safety
    ///
    /// As for all of `Table`.
    unsafe fn arguments<'a>(
        device: *mut bindings::net_device,
        memory: *mut c_void,
    ) -> (&'a Device<T>, Lock, &'a mut Slot<T::RxQueue>) {
        // SAFETY: by the requirements of this function. The core has one queue's memory used by one call at a time.
        unsafe {
            (
                Device::<T>::from_raw(device),
                Lock::assume(device),
                &mut *memory.cast(),
            )
        }
    }
}

#[kunit_tests(ferrite_netdev_restart)]
mod tests {
    use super::*;
    use kernel::sync::Arc;

    #[test]
    fn slot_of_zeros_is_empty_and_drops_what_it_holds_once() -> Result {
        // SAFETY: zeros are a `Slot`.
        let mut slot: Slot<Arc<u32>> = unsafe { MaybeUninit::zeroed().assume_init() };
        assert!(slot.take().is_none());
        let queue = Arc::new(7, GFP_KERNEL)?;
        slot.put(queue.clone());
        slot.put(queue.clone());
        assert_eq!(slot.take().map(|queue| *queue), Some(7));
        assert!(slot.take().is_none());
        assert!(Arc::into_unique_or_drop(queue).is_some());
        Ok(())
    }
}
