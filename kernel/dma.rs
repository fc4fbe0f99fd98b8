// SPDX-License-Identifier: GPL-2.0

//! Memory shared with a device: rings and buffers of coherent memory, and streaming mappings.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use crate::bindings;
use core::{
    marker::PhantomData,
    mem::MaybeUninit, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    devres::Devres,
    dma::{
        Coherent,
        DataDirection,
        DmaAddress, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        Arc, //
    },
};
use zerocopy::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// What a [`Ring`] can hold: plain data, of a whole number of 64-bit words.
pub trait Entry: FromBytes + IntoBytes + Immutable + Copy {
    /// Number of 64-bit words.
    const WORDS: usize = {
        assert!(size_of::<Self>() > 0 && size_of::<Self>() % 8 == 0);
        size_of::<Self>() / 8
    };
}

impl<T: FromBytes + IntoBytes + Immutable + Copy> Entry for T {}

/// A ring of entries in coherent memory, zeroed at first.
///
/// Indices run freely and are masked here, so that each names an entry. The device may change an
/// entry at any time: what was read is a copy that may mix old and new words.
///
/// # Invariants
///
/// `memory` is that of `mask + 1` entries, a power of two.
pub struct Ring<T: Entry> {
    memory: Coherent<[u64]>,
    mask: u32,
    _entries: PhantomData<fn() -> T>,
}

impl<T: Entry> Ring<T> {
    /// Allocates a ring of `entries` entries.
    ///
    /// The memory is aligned to its size rounded up to a power of two pages.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `entries` is not a power of two, `ENOMEM`.
    pub fn new(device: &Device<Bound>, entries: u32) -> Result<Self> {
        if !entries.is_power_of_two() {
            return Err(EINVAL);
        }
        let words = T::WORDS.checked_mul(entries as usize).ok_or(ENOMEM)?;
        // INVARIANT: `entries` is a power of two.
        Ok(Self {
            memory: Coherent::zeroed_slice(device, words, GFP_KERNEL)?,
            mask: entries - 1,
            _entries: PhantomData,
        })
    }

    /// Returns the number of entries.
    #[expect(clippy::len_without_is_empty, reason = "a ring is never empty")]
    pub fn len(&self) -> u32 {
        self.mask + 1
    }

    /// Returns the address of the ring for the device.
    pub fn dma_address(&self) -> DmaAddress {
        self.memory.dma_handle()
    }

    /// Returns the first of the words of an entry: `T::WORDS` words from there are in bounds.
    #[inline]
    fn entry(&self, index: u32) -> *mut u64 {
        let slot = (index & self.mask) as usize;
        let base = self.memory.as_mut_ptr().cast::<u64>();
        // SAFETY: by the invariants of this type, `slot` is less than the number of entries.
        unsafe { base.add(slot * T::WORDS) }
    }

    /// Returns a copy of the entry at `index`.
    #[inline]
    pub fn read(&self, index: u32) -> T {
        let entry = self.entry(index);
        let mut copy = MaybeUninit::<T>::uninit();
        let words = copy.as_mut_ptr().cast::<u64>();
        for word in 0..T::WORDS {
            // SAFETY: `entry` is valid for reads of `T::WORDS` words; volatile because the device
            // may write at the same time. `words` is valid for writes of as many bytes, aligned or
            // not.
            unsafe { words.add(word).write_unaligned(entry.add(word).read_volatile()) };
        }
        // SAFETY: all bytes were written, and `T: FromBytes` takes any.
        unsafe { copy.assume_init() }
    }

    /// Writes `value` to the entry at `index`. To tell the device, follow with
    /// [`Ring::store32`] or a doorbell.
    #[inline]
    pub fn write(&self, index: u32, value: &T) {
        let entry = self.entry(index);
        let words = core::ptr::from_ref(value).cast::<u64>();
        for word in 0..T::WORDS {
            // SAFETY: `words` is valid for reads of `T::WORDS` words, aligned or not; they are all
            // initialized because `T: IntoBytes`. `entry` is valid for writes of as many; volatile
            // because the device may read at the same time.
            unsafe { entry.add(word).write_volatile(words.add(word).read_unaligned()) };
        }
    }

    #[inline]
    fn word32<const OFFSET: usize>(&self, index: u32) -> &Atomic<u32> {
        const { assert!(OFFSET % 4 == 0 && OFFSET + 4 <= size_of::<T>()) };
        // SAFETY: the word is in the entry, by the assertion, and aligned, because the entry is to
        // 8 bytes. All accesses to it are atomic or volatile. It lives as long as `self`.
        unsafe { Atomic::from_ptr(self.entry(index).cast::<u32>().add(OFFSET / 4)) }
    }

    /// Loads the little-endian word at `OFFSET` of the entry at `index`. What the device wrote
    /// before that word is seen by reads that follow.
    #[inline]
    pub fn load32<const OFFSET: usize>(&self, index: u32) -> u32 {
        // ORDERING: acquires what the device published by writing this word last.
        u32::from_le(self.word32::<OFFSET>(index).load(Acquire))
    }

    /// Stores the little-endian word at `OFFSET` of the entry at `index`. The device that reads it
    /// sees what was written before.
    #[inline]
    pub fn store32<const OFFSET: usize>(&self, index: u32, value: u32) {
        // ORDERING: releases the entries written so far to the device, which reads this word first.
        self.word32::<OFFSET>(index).store(value.to_le(), Release);
    }
}

/// Orders all memory accesses before it against all after it, as the device sees them.
///
/// Needed between storing one's own index and loading the other side's, as in event suppression.
#[inline]
pub fn full_fence() {
    kernel::sync::barrier::smp_mb();
}

/// A buffer of coherent memory, zeroed at first. The device may change it at any time.
pub struct Buffer(Coherent<[u8]>);

impl Buffer {
    /// Allocates `len` bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `len` is zero, `ENOMEM`.
    pub fn new(device: &Device<Bound>, len: usize) -> Result<Self> {
        Ok(Self(Coherent::zeroed_slice(device, len, GFP_KERNEL)?))
    }

    /// Returns the length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a buffer is never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the address of the buffer for the device.
    pub fn dma_address(&self) -> DmaAddress {
        self.0.dma_handle()
    }

    fn bytes(&self, offset: usize, len: usize) -> Result<*mut u8> {
        if offset.checked_add(len).ok_or(EINVAL)? > self.len() {
            return Err(EINVAL);
        }
        // SAFETY: `offset` is in the allocation, or one past its end.
        Ok(unsafe { self.0.as_mut_ptr().cast::<u8>().add(offset) })
    }

    /// Copies `bytes` to the buffer.
    ///
    /// # Errors
    ///
    /// `EINVAL` if they do not fit.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result {
        let to = self.bytes(offset, bytes.len())?;
        for (i, byte) in bytes.iter().enumerate() {
            // SAFETY: `to` is valid for as many bytes; volatile because of the device, and because
            // two threads may do this to one buffer.
            unsafe { to.add(i).write_volatile(*byte) };
        }
        Ok(())
    }

    /// Fills `bytes` from the buffer.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are not as many.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result {
        let from = self.bytes(offset, bytes.len())?;
        for (i, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: `from` is valid for as many bytes; volatile because of the device.
            *byte = unsafe { from.add(i).read_volatile() };
        }
        Ok(())
    }
}

/// Makes streaming mappings for a device, while it is bound. May be used in any context.
#[derive(Clone)]
pub struct Mapper(Arc<Devres<ARef<Device>>>);

impl Mapper {
    /// Makes mappings for `device`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(device: &Device<Bound>) -> Result<Self> {
        let device_ref: ARef<Device> = device.into();
        let devres = Devres::new(device, Ok::<_, Error>(device_ref))?;
        Ok(Self(Arc::new(devres, GFP_KERNEL)?))
    }

    /// Maps `len` bytes of linear memory at `start`.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the device is not bound any more, `ENOMEM` if there is no room.
    ///
    /// # Safety
    ///
    /// Until the mapping is dropped, the memory is allocated and is accessed by the CPU only as the
    /// DMA API allows for `direction`.
    #[expect(dead_code, reason = "for packets")]
    pub(crate) unsafe fn map_single(
        &self,
        start: *mut u8,
        len: usize,
        direction: DataDirection,
    ) -> Result<Mapping> {
        self.map(len, direction, false, |device| {
            // SAFETY: `device` is bound; the memory is allocated, by the requirements of this
            // function.
            unsafe {
                bindings::ferrite_helper_dma_map_single(
                    device,
                    start.cast(),
                    len,
                    raw_direction(direction),
                )
            }
        })
    }

    /// Maps `len` bytes at `offset` of the physically contiguous pages that start with `page`.
    ///
    /// # Errors
    ///
    /// Those of [`Mapper::map_single`].
    ///
    /// # Safety
    ///
    /// `page` is a valid page, and the rest as for [`Mapper::map_single`].
    #[expect(dead_code, reason = "for fragments of packets")]
    pub(crate) unsafe fn map_page(
        &self,
        page: *mut bindings::page,
        offset: usize,
        len: usize,
        direction: DataDirection,
    ) -> Result<Mapping> {
        self.map(len, direction, true, |device| {
            // SAFETY: `device` is bound; the pages are allocated, by the requirements of this
            // function.
            unsafe {
                bindings::ferrite_helper_dma_map_page(
                    device,
                    page,
                    offset,
                    len,
                    raw_direction(direction),
                )
            }
        })
    }

    fn map(
        &self,
        len: usize,
        direction: DataDirection,
        page: bool,
        map: impl FnOnce(*mut bindings::device) -> DmaAddress,
    ) -> Result<Mapping> {
        let device = self.0.try_access().ok_or(ENODEV)?;
        let device = raw_device(&device);
        let address = map(device);
        // SAFETY: `device` is a valid device and `address` what mapping returned.
        if unsafe { bindings::ferrite_helper_dma_mapping_error(device, address) } != 0 {
            return Err(ENOMEM);
        }
        // INVARIANT: the memory was just mapped like this.
        Ok(Mapping {
            mapper: self.clone(),
            address,
            len,
            direction,
            page,
        })
    }
}

fn raw_device(device: &Device) -> *mut bindings::device {
    // CAST: `Device` is a transparent wrapper of `struct device`.
    core::ptr::from_ref(device).cast_mut().cast()
}

fn raw_direction(direction: DataDirection) -> bindings::dma_data_direction {
    // CAST: the enum holds the values of `enum dma_data_direction`.
    direction as bindings::dma_data_direction
}

/// A piece of memory that the device can reach until this is dropped.
///
/// # Invariants
///
/// `len` bytes are mapped at `address` for the device of `mapper`, by the page function if `page`.
pub struct Mapping {
    mapper: Mapper,
    address: DmaAddress,
    len: usize,
    direction: DataDirection,
    page: bool,
}

impl Mapping {
    /// Returns the address for the device.
    pub fn address(&self) -> DmaAddress {
        self.address
    }

    /// Returns the length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a mapping is never empty")]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Lets the CPU see what the device wrote.
    pub fn sync_for_cpu(&self) {
        if let Some(device) = self.mapper.0.try_access() {
            // SAFETY: by the invariants of this type; the device is bound.
            unsafe {
                bindings::ferrite_helper_dma_sync_for_cpu(
                    raw_device(&device),
                    self.address,
                    self.len,
                    raw_direction(self.direction),
                )
            };
        }
    }

    /// Lets the device see what the CPU wrote.
    pub fn sync_for_device(&self) {
        if let Some(device) = self.mapper.0.try_access() {
            // SAFETY: by the invariants of this type; the device is bound.
            unsafe {
                bindings::ferrite_helper_dma_sync_for_device(
                    raw_device(&device),
                    self.address,
                    self.len,
                    raw_direction(self.direction),
                )
            };
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // Once the device is unbound its mappings are gone with its IOMMU domain.
        if let Some(device) = self.mapper.0.try_access() {
            let device = raw_device(&device);
            let direction = raw_direction(self.direction);
            // SAFETY: by the invariants of this type; the device is bound.
            unsafe {
                if self.page {
                    bindings::ferrite_helper_dma_unmap_page(
                        device,
                        self.address,
                        self.len,
                        direction,
                    );
                } else {
                    bindings::ferrite_helper_dma_unmap_single(
                        device,
                        self.address,
                        self.len,
                        direction,
                    );
                }
            }
        }
    }
}
