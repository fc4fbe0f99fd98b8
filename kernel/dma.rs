// SPDX-License-Identifier: GPL-2.0

//! Memory shared with a device: rings and buffers of coherent memory.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use core::{
    marker::PhantomData,
    mem::MaybeUninit, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    dma::{
        Coherent,
        DmaAddress, //
    },
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Release, //
    },
};
use zerocopy::{
    FromBytes,
    Immutable,
    IntoBytes, //
};

/// What a [`Ring`] can hold: plain data, of a whole number of 64-bit words.
pub trait Entry: FromBytes + IntoBytes + Immutable + Copy + 'static {
    /// Number of 64-bit words.
    const WORDS: usize = {
        assert!(size_of::<Self>() > 0 && size_of::<Self>() % 8 == 0);
        size_of::<Self>() / 8
    };
}

impl<T: FromBytes + IntoBytes + Immutable + Copy + 'static> Entry for T {}

/// A ring of entries in coherent memory, zeroed at first.
///
/// Indices run freely and are masked here, so that each names an entry. The device may change an
/// entry at any time: what was read is a copy that may mix old and new words.
///
/// # Invariants
///
/// `memory` is that of `mask + 1` entries, a power of two, and of room behind them.
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
        Self::with_room(device, entries, 0)
    }

    /// As [`Self::new`], with [room](Self::room) for `bytes` right behind the entries, which is shared with the
    /// device as they are.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn with_room(device: &Device<Bound>, entries: u32, bytes: usize) -> Result<Self> {
        if !entries.is_power_of_two() {
            return Err(EINVAL);
        }
        let words = T::WORDS.checked_mul(entries as usize).ok_or(ENOMEM)?;
        let words = words
            .checked_add(bytes.div_ceil(size_of::<u64>()))
            .ok_or(ENOMEM)?;
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

    /// Makes all entries zeros again. The device is not to use them meanwhile.
    pub fn clear(&self) {
        for index in 0..self.len() {
            let entry = self.entry(index);
            for word in 0..T::WORDS {
                // SAFETY: `entry` is valid for writes of `T::WORDS` words; volatile because of the device.
                unsafe { entry.add(word).write_volatile(0) };
            }
        }
    }

    /// Returns bytes of the room behind the entries.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there are not as many.
    #[inline]
    pub fn room(&self, offset: usize, len: u32) -> Result<Bytes<'_>> {
        let begin = size_of::<T>() * (self.mask as usize + 1);
        let room = size_of::<u64>() * self.memory.len() - begin;
        if offset.checked_add(len as usize).ok_or(EINVAL)? > room {
            return Err(EINVAL);
        }
        // SAFETY: that is in the allocation, or one past its end, as was just checked.
        let data = unsafe { self.memory.as_mut_ptr().cast::<u8>().add(begin + offset) };
        // INVARIANT: the bytes are in the allocation, which lives as long as `self`.
        Ok(Bytes {
            data,
            len,
            _memory: PhantomData,
        })
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
            unsafe {
                words
                    .add(word)
                    .write_unaligned(entry.add(word).read_volatile())
            };
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
            unsafe {
                entry
                    .add(word)
                    .write_volatile(words.add(word).read_unaligned())
            };
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

/// Bytes that a device may change at any time.
///
/// # Invariants
///
/// `data` is valid for reads of `len` bytes for `'a`.
#[derive(Clone, Copy)]
pub struct Bytes<'a> {
    data: *const u8,
    len: u32,
    _memory: PhantomData<&'a ()>,
}

impl Bytes<'_> {
    pub(crate) fn as_ptr(&self) -> *const u8 {
        self.data
    }

    pub(crate) fn len(&self) -> u32 {
        self.len
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

#[kunit_tests(ferrite_dma)]
mod tests {
    use super::*;
    use crate::testing::TestDevice;

    type Pair = [u64; 2];

    #[test]
    fn indices_wrap_at_the_end_of_the_ring() -> Result {
        let device = TestDevice::new(c"ferrite-dma")?;
        let ring = Ring::<Pair>::new(device.device(), 4)?;
        ring.write(u32::MAX, &[1, 2]);
        assert_eq!(ring.read(3), [1, 2]);
        assert_eq!(ring.read(7), [1, 2]);
        assert_eq!(ring.read(0), [0, 0]);
        assert_eq!(ring.dma_address() % 4096, 0);
        Ok(())
    }

    #[test]
    fn words_are_little_endian() -> Result {
        let device = TestDevice::new(c"ferrite-dma")?;
        let ring = Ring::<[u8; 8]>::new(device.device(), 1)?;
        ring.store32::<4>(0, 0x0403_0201);
        assert_eq!(ring.read(0), [0, 0, 0, 0, 1, 2, 3, 4]);
        assert_eq!(ring.load32::<4>(0), 0x0403_0201);
        Ok(())
    }

    #[test]
    fn odd_number_of_entries_is_refused() -> Result {
        let device = TestDevice::new(c"ferrite-dma")?;
        assert!(Ring::<Pair>::new(device.device(), 0).is_err());
        assert!(Ring::<Pair>::new(device.device(), 3).is_err());
        Ok(())
    }

    #[test]
    fn room_is_behind_the_entries() -> Result {
        let device = TestDevice::new(c"ferrite-dma")?;
        let ring = Ring::<Pair>::with_room(device.device(), 2, 12)?;
        ring.write(1, &[1, 2]);
        assert_eq!(ring.room(4, 8)?.len(), 8);
        assert!(core::ptr::eq(
            ring.room(4, 8)?.as_ptr(),
            ring.entry(0).cast::<u8>().wrapping_add(36)
        ));
        assert!(ring.room(9, 8).is_err());
        assert!(ring.room(usize::MAX, 2).is_err());
        ring.clear();
        assert_eq!(ring.read(1), [0, 0]);
        let bare = Ring::<Pair>::new(device.device(), 2)?;
        assert!(bare.room(0, 1).is_err());
        Ok(())
    }

    #[test]
    fn bytes_past_the_end_are_refused() -> Result {
        let device = TestDevice::new(c"ferrite-dma")?;
        let buffer = Buffer::new(device.device(), 8)?;
        buffer.write(4, &[1, 2, 3, 4])?;
        assert!(buffer.write(5, &[1, 2, 3, 4]).is_err());
        assert!(buffer.write(usize::MAX, &[1, 2]).is_err());
        let mut bytes = [0xff; 6];
        buffer.read(2, &mut bytes)?;
        assert_eq!(bytes, [0, 0, 1, 2, 3, 4]);
        assert!(buffer.read(3, &mut bytes).is_err());
        Ok(())
    }
}
