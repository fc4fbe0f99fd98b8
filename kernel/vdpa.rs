// SPDX-License-Identifier: GPL-2.0

//! vDPA devices, whose data path is that of virtio and whose control path is the driver's, and the
//! management devices by which users make them.
//!
//! All that calls into `vdpa.ko` is generic, so that only drivers of such devices need that module.
//!
//! C header: [`include/linux/vdpa.h`](srctree/include/linux/vdpa.h)

mod map;
mod mgmt;
mod ops;

pub use map::Mapped;
pub use mgmt::{
    Config,
    Management,
    Registration, //
};

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    device,
    error::to_result,
    prelude::*,
    sync::aref::ARef,
    types::Opaque, //
};

/// Where the rings of a queue are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Areas {
    /// Descriptor area.
    pub descriptors: u64,
    /// Driver area.
    pub driver: u64,
    /// Device area.
    pub device: u64,
}

/// Where a queue stands: a split one at an index, a packed one at positions with wrap counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VqState([u16; 2]);

impl VqState {
    /// Returns the state of a split queue at this available index.
    pub const fn split(avail: u16) -> Self {
        Self([avail, 0])
    }

    /// Returns the available index of a split queue.
    pub const fn avail_index(self) -> u16 {
        self.0[0]
    }

    /// Returns the state of a packed queue at these positions, each with its wrap counter in bit 15.
    pub const fn packed(avail: u16, used: u16) -> Self {
        Self([avail.rotate_left(1), used.rotate_left(1)])
    }

    /// Returns the positions of a packed queue, each with its wrap counter in bit 15.
    pub const fn positions(self) -> (u16, u16) {
        (self.0[0].rotate_right(1), self.0[1].rotate_right(1))
    }
}

/// Whom to call when a queue was used, or the configuration changed.
#[derive(Clone, Copy)]
pub struct Callback {
    function: unsafe extern "C" fn(*mut c_void) -> bindings::irqreturn_t,
    private: *mut c_void,
}

// SAFETY: the callbacks of vDPA are called from interrupts on any CPU.
unsafe impl Send for Callback {}

// SAFETY: as above.
unsafe impl Sync for Callback {}

impl Callback {
    /// Calls it. May be called in any context.
    pub fn call(&self) {
        // SAFETY: whoever set the callback keeps `private` until it set another or reset the device,
        // upon which the driver gives this up ([`Operations::set_vq_callback`]).
        unsafe { (self.function)(self.private) };
    }
}

/// A piece of an address space as the user set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address for the device.
    pub iova: u64,
    /// Length in bytes; 0 for all addresses.
    pub length: u64,
    /// Physical address.
    pub phys: u64,
    /// Whether the device may read.
    pub read: bool,
    /// Whether the device may write.
    pub write: bool,
}

/// All mappings of an address space.
#[repr(transparent)]
pub struct Iotlb(Opaque<bindings::vhost_iotlb>);

impl Iotlb {
    /// Passes each mapping to `with`, until one fails.
    ///
    /// # Errors
    ///
    /// That of `with`.
    pub fn for_each(&self, mut with: impl FnMut(Mapping) -> Result) -> Result {
        // SAFETY: whoever passes the table to a driver keeps it as it is meanwhile.
        let head = unsafe { &raw mut (*self.0.get()).list };
        // SAFETY: the list of a table is initialized.
        let mut link = unsafe { (*head).next };
        while !core::ptr::eq(link, head) {
            // SAFETY: all but the head of the list are links of mappings.
            let map = unsafe {
                &*kernel::container_of!(link, bindings::vhost_iotlb_map, link).cast_const()
            };
            with(Mapping {
                iova: map.start,
                length: map.size,
                phys: map.addr,
                read: map.perm & bindings::VHOST_MAP_RO != 0,
                write: map.perm & bindings::VHOST_MAP_WO != 0,
            })?;
            // SAFETY: it is a link of the list.
            link = unsafe { (*link).next };
        }
        Ok(())
    }
}

/// A message that counters are put into.
#[repr(transparent)]
pub struct StatsMessage(Opaque<bindings::sk_buff>);

impl StatsMessage {
    /// Appends a counter.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if there is no more room.
    pub fn put(&mut self, name: &CStr, value: u64) -> Result {
        let name = name.to_bytes_with_nul();
        // SAFETY: the message is one under construction; `nla_put` copies what it is given.
        to_result(unsafe {
            bindings::nla_put(
                self.0.get(),
                bindings::vdpa_attr_VDPA_ATTR_DEV_VENDOR_ATTR_NAME as c_int,
                // CAST: a short name.
                name.len() as c_int,
                name.as_ptr().cast(),
            )
        })?;
        // SAFETY: as above.
        to_result(unsafe {
            bindings::nla_put_64bit(
                self.0.get(),
                bindings::vdpa_attr_VDPA_ATTR_DEV_VENDOR_ATTR_VALUE as c_int,
                size_of::<u64>() as c_int,
                (&raw const value).cast(),
                bindings::vdpa_attr_VDPA_ATTR_PAD as c_int,
            )
        })
    }
}

/// A vDPA device as its driver sees it. What is not said to be for any context may sleep.
pub trait Operations: Sized + Send + Sync + 'static {
    /// Alignment of rings.
    const VQ_ALIGN: u32;
    /// Virtio id of what the device is.
    const DEVICE_ID: u32;
    /// Vendor.
    const VENDOR_ID: u32;
    /// Groups that its memory is in.
    const GROUPS: u32;
    /// Address spaces.
    const ADDRESS_SPACES: u32;

    /// Sets where the rings of a queue are.
    fn set_vq_address(&self, index: u16, areas: Areas) -> Result;
    /// Sets the number of entries of a queue.
    fn set_vq_num(&self, index: u16, num: u32);
    /// Notifies of new buffers. Any context.
    fn kick_vq(&self, index: u16);
    /// Notifies of new buffers with notification data. Any context.
    fn kick_vq_with_data(&self, data: u32);
    /// Sets whom to call when buffers were returned. When it returns, the one before is not called any
    /// more.
    fn set_vq_callback(&self, index: u16, callback: Option<Callback>);
    /// Makes a queue ready, or no longer.
    fn set_vq_ready(&self, index: u16, ready: bool);
    /// Returns whether a queue is ready.
    fn vq_ready(&self, index: u16) -> bool;
    /// Sets where a queue begins.
    fn set_vq_state(&self, index: u16, state: VqState) -> Result;
    /// Returns where a queue stands.
    fn vq_state(&self, index: u16) -> Result<VqState>;
    /// Tells the counters of a queue.
    fn vq_stats(&self, index: u16, message: &mut StatsMessage) -> Result;
    /// Returns the Linux interrupt of a queue, if it has one that it shares with nobody.
    fn vq_irq(&self, index: u16) -> Option<u32>;
    /// Returns the number of entries that a queue should have.
    fn vq_size(&self, index: u16) -> u16;
    /// Returns the group that the buffers of a queue are in.
    fn vq_group(&self, index: u16) -> u32;
    /// Returns the group that the rings of a queue are in.
    fn vq_desc_group(&self, index: u16) -> u32;
    /// Returns the features that are offered.
    fn device_features(&self) -> u64;
    /// Returns features of the driver itself, by the bits of vhost.
    fn backend_features(&self) -> u64;
    /// Accepts features.
    fn set_driver_features(&self, features: u64) -> Result;
    /// Returns the features that were accepted.
    fn driver_features(&self) -> u64;
    /// Sets whom to call when the configuration changed. As for [`Self::set_vq_callback`].
    fn set_config_callback(&self, callback: Option<Callback>);
    /// Returns the largest number of entries of a queue.
    fn vq_num_max(&self) -> u16;
    /// Returns the device status.
    fn status(&self) -> u8;
    /// Sets the device status.
    fn set_status(&self, status: u8);
    /// Resets the device, and its mappings if wanted.
    fn reset(&self, clean_map: bool) -> Result;
    /// Stops the device where it is.
    fn suspend(&self) -> Result;
    /// Lets it go on.
    fn resume(&self) -> Result;
    /// Returns the size of the configuration space.
    fn config_size(&self) -> usize;
    /// Reads from the configuration space.
    fn config(&self, offset: usize, buffer: &mut [u8]);
    /// Returns the generation of the configuration space.
    fn generation(&self) -> u32;
    /// Replaces the mappings of an address space.
    fn set_map(&self, space: u32, iotlb: &Iotlb) -> Result;
    /// Returns an address space to what it was at first.
    fn reset_map(&self, space: u32) -> Result;
    /// Puts a group into an address space.
    fn set_group_space(&self, group: u32, space: u32) -> Result;
}

/// What the core knows of a device. `vdev` comes first, so that a pointer to it is one to this.
#[repr(C)]
struct Inner<T: Operations> {
    vdev: bindings::vdpa_device,
    /// [`None`] while the device is made, and after it was freed.
    data: Option<T>,
}

/// A vDPA device that is not visible yet, or a reference to one that is.
///
/// # Invariants
///
/// The pointer is to the `vdev` of an [`Inner`] of `T` that has its data, and this owns a reference.
struct Device<T: Operations>(NonNull<Inner<T>>);

impl<T: Operations> Device<T> {
    /// Makes a device that does DMA as `dma` does.
    fn new(
        parent: &device::Device,
        dma: &ARef<device::Device>,
        name: *const c_char,
        data: T,
    ) -> Result<Self> {
        // SAFETY: the parent exists, the operations live for ever, and the name is one by the
        // contract of those who call this.
        let raw = kernel::error::from_err_ptr(unsafe {
            bindings::__vdpa_alloc_device(
                core::ptr::from_ref(parent).cast_mut().cast(),
                ops::Table::<T>::OPS_REF,
                core::ptr::null(),
                T::GROUPS,
                T::ADDRESS_SPACES,
                size_of::<Inner<T>>(),
                name,
                false,
            )
        })?;
        let inner = raw.cast::<Inner<T>>();
        // SAFETY: the memory is as large as was asked for, zeroed behind the device, and nobody else
        // knows of it.
        unsafe {
            (&raw mut (*inner).data).write(Some(data));
            (*inner).vdev.vmap.dma_dev = core::ptr::from_ref(&**dma).cast_mut().cast();
        }
        // INVARIANT: the data were just set; the reference is the one from allocation.
        Ok(Self(NonNull::new(inner).ok_or(ENOMEM)?))
    }

    fn raw(&self) -> *mut bindings::vdpa_device {
        self.0.as_ptr().cast()
    }
}

impl<T: Operations> Drop for Device<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariants of this type; the last reference frees the memory.
        unsafe {
            kernel::bindings::put_device((&raw mut (*self.raw()).dev).cast());
        }
    }
}

#[kunit_tests(ferrite_vdpa)]
mod tests {
    use super::*;

    #[test]
    fn state_of_a_packed_queue_is_as_the_core_has_it() {
        let state = VqState::packed(0x8003, 0x0005);
        // The wrap counter is the lowest bit there, the position above it.
        assert_eq!(state, VqState([0x0007, 0x000a]));
        assert_eq!(state.positions(), (0x8003, 0x0005));
        assert_eq!(VqState::split(0x8003).avail_index(), 0x8003);
    }
}
