// SPDX-License-Identifier: GPL-2.0

//! Socket buffers: packets.
//!
//! C header: [`include/linux/skbuff.h`](srctree/include/linux/skbuff.h)

pub use crate::skb_flight::{
    flight,
    Arrivals,
    Departures,
    Packet,
    Segment,
    Segments, //
};

use crate::{
    bindings,
    dma::Bytes,
    napi, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};

/// Largest number of segments of a packet: linear part and page fragments.
pub const MAX_SEGMENTS: usize = 1 + bindings::MAX_SKB_FRAGS as usize;

/// Which packets a packet that is cut into segments consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// Payload bytes of each.
    pub mss: u16,
    /// Number of them.
    pub segments: u16,
    /// Bytes of all headers.
    pub header_len: u16,
}

/// A packet, owned.
///
/// Dropping it counts as a drop of the packet; see [`SkBuff::consume`].
///
/// # Invariants
///
/// The pointer is to a valid `struct sk_buff` of which one reference is owned, and whose headers
/// and data nobody else changes.
#[repr(transparent)]
pub struct SkBuff(NonNull<bindings::sk_buff>);

// SAFETY: a packet does not belong to a thread.
unsafe impl Send for SkBuff {}

impl SkBuff {
    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// `skb` is valid; its owner gives one reference and the right to change the packet away.
    pub(crate) unsafe fn from_raw(skb: NonNull<bindings::sk_buff>) -> Self {
        // INVARIANT: the caller promises it.
        Self(skb)
    }

    /// Gives the reference away.
    pub(crate) fn into_raw(self) -> NonNull<bindings::sk_buff> {
        ManuallyDrop::new(self).0
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::sk_buff {
        self.0.as_ptr()
    }

    /// Makes a packet that is a copy of what a device wrote. [`None`] if there is no memory.
    #[inline]
    pub fn copy_of(bytes: Bytes<'_>, cx: &napi::Context<'_>) -> Option<Self> {
        // SAFETY: the bytes are valid, and may be whatever they are. A context exists only while NAPI polls.
        let skb = unsafe {
            bindings::ferrite_helper_napi_copy_packet(
                cx.as_ptr(),
                bytes.as_ptr().cast(),
                bytes.len(),
            )
        };
        // SAFETY: the packet is new and nobody else's.
        Some(unsafe { Self::from_raw(NonNull::new(skb)?) })
    }

    /// Returns its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "no packet is empty")]
    pub fn len(&self) -> u32 {
        // SAFETY: the pointer is valid by the type's invariants.
        unsafe { (*self.as_ptr()).len }
    }

    /// Returns where the Internet checksum starts, and from there where it is stored, if the packet
    /// is still to get one.
    pub fn checksum_wanted(&self) -> Option<(u16, u16)> {
        let (mut start, mut offset) = (0, 0);
        // SAFETY: the pointer is valid by the type's invariants, the others are to locals.
        let wanted = unsafe {
            bindings::ferrite_helper_skb_checksum_wanted(self.as_ptr(), &mut start, &mut offset)
        };
        wanted.then_some((start, offset))
    }

    /// Returns what segments the packet is to be cut into, if it is.
    pub fn segmentation(&self) -> Option<Segmentation> {
        let (mut mss, mut segments, mut header_len) = (0, 0, 0);
        // SAFETY: the pointer is valid by the type's invariants, the others are to locals.
        let wanted = unsafe {
            bindings::ferrite_helper_skb_segmentation(
                self.as_ptr(),
                &mut mss,
                &mut segments,
                &mut header_len,
            )
        };
        wanted.then_some(Segmentation {
            mss,
            segments,
            header_len,
        })
    }

    /// Returns the VLAN tag that the packet is to get, if it is.
    pub fn vlan_wanted(&self) -> Option<u16> {
        let mut tci = 0;
        // SAFETY: the pointer is valid by the type's invariants, the other is to a local.
        let wanted = unsafe { bindings::ferrite_helper_skb_vlan(self.as_ptr(), &mut tci) };
        wanted.then_some(tci)
    }

    /// Tells that the packet is on its way, to those who want to know when. To be called as late as
    /// possible before the device sees it.
    pub fn tx_timestamp(&mut self) {
        // SAFETY: the pointer is valid by the type's invariants.
        unsafe { bindings::ferrite_helper_skb_tx_timestamp(self.as_ptr()) };
    }

    /// Returns whether the device is to tell when the packet was sent, and takes note that it will.
    #[inline]
    pub fn timestamp_wanted(&mut self) -> bool {
        // SAFETY: the pointer is valid by the type's invariants.
        unsafe { bindings::ferrite_helper_skb_timestamp_wanted(self.as_ptr()) }
    }

    /// Tells when the device sent the packet, in nanoseconds.
    pub fn timestamp_done(&mut self, nanoseconds: u64) {
        // SAFETY: the pointer is valid by the type's invariants.
        unsafe { bindings::ferrite_helper_skb_timestamp_done(self.as_ptr(), nanoseconds) };
    }

    /// Returns how many packets it is on the wire.
    #[inline]
    pub fn segments(&self) -> u16 {
        // SAFETY: the pointer is valid by the type's invariants.
        unsafe { bindings::ferrite_helper_skb_segments(self.as_ptr()) }
    }

    /// Frees a packet that was sent.
    pub fn consume(self, cx: &napi::Context<'_>) {
        // SAFETY: the pointer is valid by the type's invariants, its reference is given away, and a
        // context exists only while NAPI polls.
        unsafe { bindings::napi_consume_skb(self.into_raw().as_ptr(), cx.budget_raw()) };
    }

    /// Notes that the device verified the checksums of the packet.
    pub fn set_checksum_ok(&mut self) {
        // SAFETY: the pointer is valid by the type's invariants.
        unsafe { bindings::ferrite_helper_skb_set_checksum_ok(self.as_ptr()) };
    }

    /// Notes that the device joined the packet of `segments` TCP segments of `mss` bytes of payload,
    /// the header of which is at `l4_offset`: their checksums were right. Returns whether that can
    /// be so.
    pub fn set_joined(&mut self, segments: u16, mss: u16, l4_offset: u16) -> bool {
        // SAFETY: the pointer is valid by the type's invariants, and the packet starts with an
        // Ethernet header if it is as long as the helper asks for.
        unsafe { bindings::ferrite_helper_skb_set_joined(self.as_ptr(), segments, mss, l4_offset) }
    }

    /// Notes when the packet came, in nanoseconds.
    pub fn set_timestamp(&mut self, nanoseconds: u64) {
        // SAFETY: the pointer is valid by the type's invariants.
        unsafe { bindings::ferrite_helper_skb_set_timestamp(self.as_ptr(), nanoseconds) };
    }

    /// Notes the hash that the device computed; `l4` if it covers ports.
    pub fn set_hash(&mut self, hash: u32, l4: bool) {
        // SAFETY: the pointer is valid by the type's invariants.
        unsafe { bindings::ferrite_helper_skb_set_hash(self.as_ptr(), hash, l4) };
    }

    /// Notes the VLAN tag that the device stripped.
    pub fn set_vlan(&mut self, tci: u16) {
        // SAFETY: the pointer is valid by the type's invariants.
        unsafe { bindings::ferrite_helper_skb_set_vlan(self.as_ptr(), tci) };
    }
}

#[cfg(CONFIG_KUNIT = "y")]
impl SkBuff {
    /// Makes a packet of `len` zeros.
    pub(crate) fn for_test(len: u32) -> kernel::error::Result<Self> {
        // SAFETY: the packet is new, and has room for as many bytes, all of which are written.
        unsafe {
            let skb = bindings::__netdev_alloc_skb(
                core::ptr::null_mut(),
                len,
                kernel::bindings::GFP_KERNEL,
            );
            let skb = NonNull::new(skb).ok_or(kernel::error::code::ENOMEM)?;
            bindings::skb_put(skb.as_ptr(), len)
                .cast::<u8>()
                .write_bytes(0, len as usize);
            Ok(Self::from_raw(skb))
        }
    }

    /// Returns whether its Ether type is this.
    pub(crate) fn is_of(&self, ether_type: [u8; 2]) -> bool {
        // SAFETY: the packet is valid and starts with an Ethernet header in its linear part.
        unsafe {
            let data = (*self.as_ptr()).data;
            data.add(12).cast::<[u8; 2]>().read() == ether_type
        }
    }
}

impl Drop for SkBuff {
    fn drop(&mut self) {
        // SAFETY: the pointer is valid by the type's invariants, and its reference given away.
        unsafe { bindings::ferrite_helper_skb_free(self.as_ptr()) };
    }
}
