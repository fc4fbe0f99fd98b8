// SPDX-License-Identifier: GPL-2.0

//! Packets that a device is reading: a FIFO whose ends are `start_xmit` and the poll.

use crate::{
    bindings,
    skb::{
        SkBuff,
        MAX_SEGMENTS, //
    },
    xdp::Frame, //
};
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ptr::addr_of_mut,
    sync::atomic::{
        AtomicU32,
        Ordering, //
    },
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    },
};

/// A packet that a device reads, or has read.
pub enum Packet {
    /// One of the network stack's.
    Skb(SkBuff),
    /// One of an XDP program's.
    Frame(Frame),
}

/// A packet and where the device sees it.
///
/// # Invariants
///
/// The first `count` entries of `addrs` and `lens` are initialized and are where the device finds
/// `packet`; if `is_mapped_here`, they are a mapping made for it.
#[repr(C)]
struct Slot {
    packet: MaybeUninit<Packet>,
    /// What the sender calls the end of the packet.
    end: u32,
    count: i32,
    is_mapped_here: bool,
    addrs: [MaybeUninit<bindings::dma_addr_t>; MAX_SEGMENTS],
    lens: [MaybeUninit<u32>; MAX_SEGMENTS],
}

/// # Invariants
///
/// The slots from `head` up to `tail`, modulo their number, hold packets and belong to the
/// [`Arrivals`]; the others belong to the [`Departures`]. `tail` is written by the one, `head` by
/// the other alone. The number of slots is a power of two.
struct Flight {
    slots: KVVec<UnsafeCell<Slot>>,
    head: AtomicU32,
    tail: AtomicU32,
    device: ARef<Device>,
}

// SAFETY: a slot has one owner at a time, by the type's invariants, and what is in it can be sent.
unsafe impl Send for Flight {}

// SAFETY: as above.
unsafe impl Sync for Flight {}

impl Flight {
    fn slot(&self, index: u32) -> *mut Slot {
        // The number of slots is a power of two, so that this is in range.
        self.slots[index as usize & (self.slots.len() - 1)].get()
    }

    fn device(&self) -> *mut bindings::device {
        let device: &Device = &self.device;
        // CAST: `Device` is a transparent wrapper of `struct device`.
        core::ptr::from_ref(device).cast_mut().cast()
    }

    /// Unmaps the oldest packet and returns it.
    ///
    /// # Safety
    ///
    /// The caller is the one end that takes out, and is alone.
    unsafe fn take(&self) -> Option<Packet> {
        let head = self.head.load(Ordering::Relaxed);
        // ORDERING: acquire, with the release in `Departures::send`: the slot is seen as filled.
        if head == self.tail.load(Ordering::Acquire) {
            return None;
        }
        let slot = self.slot(head);
        // SAFETY: the slot holds a packet and belongs to the caller, by the type's invariants. The
        // device still exists, as there is a reference to it.
        let packet = unsafe {
            let packet = (*slot).packet.assume_init_read();
            if (*slot).is_mapped_here {
                let addrs = addr_of_mut!((*slot).addrs).cast();
                let lens = addr_of_mut!((*slot).lens).cast();
                let (device, count) = (self.device(), (*slot).count);
                match &packet {
                    Packet::Skb(skb) => {
                        bindings::ferrite_helper_skb_unmap(device, skb.as_ptr(), addrs, lens, count)
                    }
                    Packet::Frame(_) => {
                        bindings::ferrite_helper_xdp_frame_unmap(device, addrs, lens, count);
                    }
                }
            }
            packet
        };
        // ORDERING: release, with the acquire in `Departures::send`: the slot is seen as empty.
        self.head.store(head.wrapping_add(1), Ordering::Release);
        Some(packet)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // SAFETY: nobody else has a reference any more.
        while let Some(packet) = unsafe { self.take() } {
            drop(packet);
        }
    }
}

/// Makes a FIFO for `capacity` packets, a power of two, that `device` reads.
///
/// Both ends must be gone before `device` is unbound, and it must not read a packet any more when
/// the packet is taken out.
///
/// # Errors
///
/// `EINVAL` if `capacity` is no power of two, `ENOMEM`.
pub fn flight(device: &Device<Bound>, capacity: usize) -> Result<(Departures, Arrivals)> {
    if !capacity.is_power_of_two() || u32::try_from(capacity).is_err() {
        return Err(EINVAL);
    }
    let mut slots = KVVec::with_capacity(capacity, GFP_KERNEL)?;
    for _ in 0..capacity {
        let slot = UnsafeCell::new(Slot {
            packet: MaybeUninit::uninit(),
            end: 0,
            count: 0,
            is_mapped_here: false,
            addrs: [MaybeUninit::uninit(); MAX_SEGMENTS],
            lens: [MaybeUninit::uninit(); MAX_SEGMENTS],
        });
        slots.push(slot, GFP_KERNEL)?;
    }
    // INVARIANT: no slot holds a packet, and `capacity` is a power of two.
    let flight = Arc::new(
        Flight {
            slots,
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            device: device.into(),
        },
        GFP_KERNEL,
    )?;
    Ok((Departures(flight.clone()), Arrivals(flight)))
}

/// A piece of a packet, as the device sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Bus address.
    pub addr: u64,
    /// Length in bytes, not 0.
    pub len: u32,
}

/// The pieces of a packet that was mapped.
///
/// # Invariants
///
/// The first `count` entries at `addrs` and `lens` are initialized.
#[derive(Clone)]
pub struct Segments<'a> {
    addrs: &'a [MaybeUninit<bindings::dma_addr_t>; MAX_SEGMENTS],
    lens: &'a [MaybeUninit<u32>; MAX_SEGMENTS],
    next: usize,
    count: usize,
}

impl Iterator for Segments<'_> {
    type Item = Segment;

    #[inline]
    fn next(&mut self) -> Option<Segment> {
        if self.next >= self.count {
            return None;
        }
        let index = self.next;
        self.next += 1;
        // SAFETY: `index` is less than `count`, so that both entries are initialized.
        let (addr, len) = unsafe {
            (
                self.addrs[index].assume_init(),
                self.lens[index].assume_init(),
            )
        };
        Some(Segment { addr, len })
    }
}

/// The end of the FIFO that packets go in, one for each FIFO.
pub struct Departures(Arc<Flight>);

impl Departures {
    /// Returns the slot for the next packet and its index, if there is room.
    #[inline]
    fn next(&mut self) -> Option<(*mut Slot, u32)> {
        let flight = &*self.0;
        let tail = flight.tail.load(Ordering::Relaxed);
        // ORDERING: acquire, with the release in `Flight::take`: the slot was read for the last
        // time.
        let head = flight.head.load(Ordering::Acquire);
        let has_room = (tail.wrapping_sub(head) as usize) < flight.slots.len();
        has_room.then(|| (flight.slot(tail), tail))
    }

    /// Fills a slot and hands it to the other end.
    ///
    /// # Safety
    ///
    /// `slot` and `tail` are what [`Self::next`] just returned; the first `count` addresses and
    /// lengths in it are where the device finds `packet`, mapped for it if `is_mapped_here`.
    #[inline]
    unsafe fn commit(
        &mut self,
        (slot, tail): (*mut Slot, u32),
        packet: Packet,
        count: i32,
        is_mapped_here: bool,
        post: impl FnOnce(Segments<'_>) -> u32,
    ) {
        // SAFETY: the slot is empty and belongs to this end until `tail` is moved.
        let slot = unsafe { &mut *slot };
        slot.packet.write(packet);
        // INVARIANT: the caller promises it.
        slot.count = count;
        slot.is_mapped_here = is_mapped_here;
        slot.end = post(Segments {
            addrs: &slot.addrs,
            lens: &slot.lens,
            next: 0,
            // CAST: it is not negative.
            count: count as usize,
        });
        // ORDERING: release, with the acquire in `Flight::take`.
        self.0.tail.store(tail.wrapping_add(1), Ordering::Release);
    }

    /// Maps a packet for the device to read, tells `post` of its segments and puts it in. What
    /// `post` returns is remembered as the end of the packet.
    ///
    /// # Errors
    ///
    /// The packet, if it could not be mapped or there is no room.
    #[inline]
    pub fn send(
        &mut self,
        skb: SkBuff,
        post: impl FnOnce(Segments<'_>) -> u32,
    ) -> Result<(), SkBuff> {
        let Some((slot, tail)) = self.next() else {
            return Err(skb);
        };
        // SAFETY: the slot at `tail` is empty and belongs to this end. There is room for the pieces
        // of any packet, and the device exists, as there is a reference to it.
        let count = unsafe {
            bindings::ferrite_helper_skb_map(
                self.0.device(),
                skb.as_ptr(),
                addr_of_mut!((*slot).addrs).cast(),
                addr_of_mut!((*slot).lens).cast(),
            )
        };
        if count <= 0 {
            return Err(skb);
        }
        // SAFETY: `ferrite_helper_skb_map` has mapped the packet and initialized as many entries.
        unsafe { self.commit((slot, tail), Packet::Skb(skb), count, true, post) };
        Ok(())
    }

    /// As [`Self::send`], for a packet of an XDP program's.
    ///
    /// # Errors
    ///
    /// The packet, if it could not be mapped or there is no room.
    #[inline]
    pub fn send_frame(
        &mut self,
        frame: Frame,
        post: impl FnOnce(Segments<'_>) -> u32,
    ) -> Result<(), Frame> {
        let Some((slot, tail)) = self.next() else {
            return Err(frame);
        };
        let device = self.0.device();
        let is_mapped = frame.is_mapped_for(device);
        // SAFETY: as in `send`; a frame has no more pieces than a packet, and one that says so is
        // from a pool which this device has mapped, to be read too.
        let count = unsafe {
            bindings::ferrite_helper_xdp_frame_map(
                device,
                frame.as_ptr(),
                is_mapped,
                addr_of_mut!((*slot).addrs).cast(),
                addr_of_mut!((*slot).lens).cast(),
            )
        };
        if count <= 0 {
            return Err(frame);
        }
        // SAFETY: `ferrite_helper_xdp_frame_map` has initialized as many entries, and mapped the
        // frame unless the pool had.
        unsafe { self.commit((slot, tail), Packet::Frame(frame), count, !is_mapped, post) };
        Ok(())
    }
}

/// The end of the FIFO that packets come out of, one for each FIFO.
pub struct Arrivals(Arc<Flight>);

impl Arrivals {
    /// Returns the end of the oldest packet, if there is one.
    #[inline]
    pub fn front_end(&self) -> Option<u32> {
        let flight = &*self.0;
        let head = flight.head.load(Ordering::Relaxed);
        // ORDERING: acquire, with the release in `Departures::send`.
        if head == flight.tail.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: the slot holds a packet, so that it belongs to this end.
        Some(unsafe { (*flight.slot(head)).end })
    }

    /// Takes out the oldest packet, which the device must have done with.
    #[inline]
    pub fn pop(&mut self) -> Option<Packet> {
        // SAFETY: this is the one end that takes out; `&mut self` makes it alone.
        unsafe { self.0.take() }
    }
}
