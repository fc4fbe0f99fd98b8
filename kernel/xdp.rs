// SPDX-License-Identifier: GPL-2.0

//! XDP: programs that see packets before the network stack does.
//!
//! C header: [`include/net/xdp.h`](srctree/include/net/xdp.h)

use crate::{
    bindings,
    napi::{
        Context,
        Instance, //
    },
    page_pool::{
        PagePool,
        Received, //
    },
    skb::SkBuff, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ptr::NonNull,
    sync::atomic::{
        AtomicPtr,
        Ordering, //
    },
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// Bytes in front of a packet that a program may use.
pub const HEADROOM: u32 = bindings::XDP_PACKET_HEADROOM;

/// A program, of which a reference is owned.
///
/// # Invariants
///
/// The pointer is to a `struct bpf_prog` of type XDP, of which one reference is owned.
pub struct Program(NonNull<bindings::bpf_prog>);

// SAFETY: a program does not belong to a thread.
unsafe impl Send for Program {}

impl Program {
    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// `program` is valid, of type XDP; its owner gives one reference away.
    pub(crate) unsafe fn from_raw(program: NonNull<bindings::bpf_prog>) -> Self {
        // INVARIANT: the caller promises it.
        Self(program)
    }

    pub(crate) fn as_raw(&self) -> NonNull<bindings::bpf_prog> {
        self.0
    }

    /// Returns whether it can do with packets of several buffers.
    pub fn takes_fragments(&self) -> bool {
        // SAFETY: the program is valid, by the type's invariants.
        unsafe { bindings::ferrite_helper_xdp_takes_fragments(self.0.as_ptr()) }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: the reference is owned and not used any more.
        unsafe { bindings::ferrite_helper_xdp_put(self.0.as_ptr()) };
    }
}

/// The place where the polls of a device look for the program, if there is one.
///
/// # Invariants
///
/// The pointer is null or that of a [`Program`] whose reference belongs to the slot.
pub struct Slot(AtomicPtr<bindings::bpf_prog>);

impl Slot {
    /// Returns a place without program.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(core::ptr::null_mut()))
    }

    /// Puts `program` in place of what there was, and returns that. Polls that are under way may
    /// run it yet.
    pub fn replace(&self, program: Option<Program>) -> Option<Program> {
        let new = program.map_or(core::ptr::null_mut(), |program| {
            ManuallyDrop::new(program).0.as_ptr()
        });
        // ORDERING: release, with the acquire in `get`: who sees the program sees what is in it.
        let old = self.0.swap(new, Ordering::AcqRel);
        // INVARIANT: the reference belonged to the slot, and is moved out.
        NonNull::new(old).map(Program)
    }

    fn peek(&self) -> *mut bindings::bpf_prog {
        // ORDERING: acquire, see `replace`.
        self.0.load(Ordering::Acquire)
    }

    /// Returns whether there is no program.
    pub fn is_empty(&self) -> bool {
        self.peek().is_null()
    }

    /// Returns the program to run in this poll, if there is one.
    #[inline]
    pub fn get<'a>(&self, _cx: &'a Context<'_>) -> Option<Runner<'a>> {
        // INVARIANT: a poll is a reading side of RCU, and a program that is taken out of the slot is
        // freed after a grace period at the earliest: it lives until the poll ends.
        NonNull::new(self.peek()).map(|program| Runner(program, PhantomData))
    }

    /// Returns whether there is a program that can do with a single buffer only.
    pub fn needs_one_buffer(&self, _rtnl: &crate::netdev::Rtnl) -> bool {
        // SAFETY: a program is replaced under the RTNL only, which is held, so that the reference
        // stays.
        NonNull::new(self.peek()).is_some_and(|program| unsafe {
            !bindings::ferrite_helper_xdp_takes_fragments(program.as_ptr())
        })
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        drop(self.replace(None));
    }
}

/// A program, for as long as a poll lasts.
///
/// # Invariants
///
/// The program is valid for `'a`.
#[derive(Clone, Copy)]
pub struct Runner<'a>(NonNull<bindings::bpf_prog>, PhantomData<&'a ()>);

/// A receive queue, as programs and those that packets are redirected to know it.
///
/// # Invariants
///
/// `info` is registered for a queue of `napi`'s device.
pub struct RxQueue {
    info: Pin<KBox<Opaque<bindings::xdp_rxq_info>>>,
    // `info` refers to the device, which this keeps.
    _napi: Arc<Instance>,
}

// SAFETY: the registration does not belong to a thread.
unsafe impl Send for RxQueue {}

impl RxQueue {
    /// Makes receive queue `queue`, whose buffers come from `pool`, known.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(napi: &Instance, queue: u16, pool: &PagePool) -> Result<Self> {
        let info = KBox::pin_init(Opaque::zeroed(), GFP_KERNEL)?;
        // SAFETY: `info` is zeroed, which is that it is new, and does not move; the others are
        // valid.
        to_result(unsafe {
            bindings::ferrite_helper_xdp_rxq_reg(
                info.get(),
                napi.device().as_ptr(),
                napi.as_ptr(),
                queue.into(),
                pool.layout().size,
                pool.as_ptr(),
            )
        })?;
        // INVARIANT: it was just registered.
        Ok(Self {
            info,
            _napi: napi.to_arc(),
        })
    }
}

impl Drop for RxQueue {
    fn drop(&mut self) {
        // SAFETY: by the type's invariants it is registered.
        unsafe { bindings::xdp_rxq_info_unreg(self.info.get()) };
    }
}

/// What the device said of a packet, for programs that ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints {
    /// Hash, and whether it covers ports.
    pub hash: Option<(u32, bool)>,
    /// VLAN tag that was stripped.
    pub vlan: Option<u16>,
    /// Time of arrival in nanoseconds.
    pub timestamp: Option<u64>,
}

/// A packet that a program is to see.
///
/// # Invariants
///
/// `raw` describes fragments of pages of `pool`, `frags` of them behind the first, which are owned;
/// the pool exists for as long as one of them is owned. `raw.xdp.rxq` is used only while
/// [`Buff::run`] sets it.
pub struct Buff {
    raw: bindings::ferrite_xdp_buff,
    pool: NonNull<bindings::page_pool>,
    frags: u32,
}

// SAFETY: as for the buffers that it consists of.
unsafe impl Send for Buff {}

/// What a program decided.
pub enum Verdict {
    /// The stack is to have the packet; [`None`] if there was no memory for it.
    Pass(Option<SkBuff>),
    /// It is to be sent where it came from.
    Transmit(Frame),
    /// Somebody else has it now; [`flush_redirects`] is to follow before the poll ends.
    Redirected,
    /// It was dropped.
    Dropped,
    /// It was dropped, because of a mistake.
    Aborted,
}

impl Buff {
    /// Starts a packet with what was received. [`None`] if packets cannot be made of it.
    #[inline]
    pub fn new(received: Received, hints: &Hints) -> Option<Self> {
        let parts = received.into_parts()?;
        let mut bits = 0;
        if let Some((_, l4)) = hints.hash {
            bits |= bindings::ferrite_xdp_hint_FERRITE_XDP_HASH;
            if l4 {
                bits |= bindings::ferrite_xdp_hint_FERRITE_XDP_HASH_L4;
            }
        }
        if hints.vlan.is_some() {
            bits |= bindings::ferrite_xdp_hint_FERRITE_XDP_VLAN;
        }
        if hints.timestamp.is_some() {
            bits |= bindings::ferrite_xdp_hint_FERRITE_XDP_TIMESTAMP;
        }
        let mut raw = bindings::ferrite_xdp_buff {
            timestamp: hints.timestamp.unwrap_or_default(),
            hash: hints.hash.map_or(0, |(hash, _)| hash),
            vlan: hints.vlan.unwrap_or_default(),
            // CAST: a few low bits.
            hints: bits as u16,
            ..pin_init::zeroed()
        };
        // SAFETY: the fragment is in a page that is mapped in the kernel; headroom and length lie in
        // it, with room for the shared info of a packet behind, as its layout is sound.
        unsafe {
            bindings::ferrite_helper_xdp_buff_init(
                &mut raw,
                parts.data,
                parts.layout.size,
                parts.layout.headroom,
                parts.len,
            );
        }
        // INVARIANT: `received` gave the fragment away.
        Some(Self {
            raw,
            pool: parts.pool,
            frags: 0,
        })
    }

    /// Appends what was received, from the same pool. Returns whether there is room for it; if not,
    /// the buffer is put back.
    #[inline]
    pub fn append(&mut self, received: Received) -> bool {
        if self.frags >= bindings::MAX_SKB_FRAGS || !received.is_of(self.pool) {
            return false;
        }
        let Some(parts) = received.into_parts() else {
            return false;
        };
        // INVARIANT: the fragment is one of the packet's from here on.
        self.frags += 1;
        // SAFETY: there is room, as was just checked, and what was received lies in the fragment.
        // No program saw the packet yet, so that its shared info is where the first fragment of the
        // packet was put with room for it.
        unsafe {
            bindings::ferrite_helper_xdp_buff_append(
                &mut self.raw,
                parts.netmem,
                parts.offset + parts.layout.headroom,
                parts.len,
                parts.layout.size,
            )
        }
    }

    /// Returns how many bytes the packet has.
    #[expect(clippy::len_without_is_empty, reason = "no packet is empty")]
    #[inline]
    pub fn len(&self) -> u32 {
        // SAFETY: the packet is valid.
        unsafe { bindings::ferrite_helper_xdp_buff_len(&self.raw) }
    }

    /// Runs a program over the packet, which came in on `queue`, and does what it decides, as far as
    /// that can be done here. A packet too short for an Ethernet header is dropped.
    #[inline]
    pub fn run(mut self, cx: &Context<'_>, program: Runner<'_>, queue: &RxQueue) -> Verdict {
        if self.len() < bindings::ETH_HLEN {
            return Verdict::Dropped;
        }
        let mut frame = core::ptr::null_mut();
        self.raw.xdp.rxq = queue.info.get();
        // SAFETY: packet, device and program are valid, `queue` is registered, and a context exists
        // only while NAPI polls.
        let verdict = unsafe {
            bindings::ferrite_helper_xdp_run(
                &mut self.raw,
                cx.device().as_ptr(),
                program.0.as_ptr(),
                &mut frame,
            )
        };
        match verdict {
            bindings::ferrite_xdp_verdict_FERRITE_XDP_PASS => {
                // SAFETY: the packet is valid, `queue` registered. The fragments belong to what is
                // returned, if that is not null.
                let skb = unsafe { bindings::xdp_build_skb_from_buff(&self.raw.xdp) };
                Verdict::Pass(NonNull::new(skb.cast()).map(|skb| {
                    core::mem::forget(self);
                    // SAFETY: the packet is new and nobody else's.
                    unsafe { SkBuff::from_raw(skb) }
                }))
            }
            bindings::ferrite_xdp_verdict_FERRITE_XDP_TX => {
                let pool = Some(self.pool);
                core::mem::forget(self);
                match NonNull::new(frame) {
                    // INVARIANT: the frame has the fragments now, which are of this pool.
                    Some(raw) => Verdict::Transmit(Frame { raw, pool }),
                    None => Verdict::Aborted,
                }
            }
            bindings::ferrite_xdp_verdict_FERRITE_XDP_REDIRECT => {
                core::mem::forget(self);
                Verdict::Redirected
            }
            bindings::ferrite_xdp_verdict_FERRITE_XDP_DROP => Verdict::Dropped,
            _ => Verdict::Aborted,
        }
    }
}

impl Drop for Buff {
    fn drop(&mut self) {
        // SAFETY: the fragments are owned, came from this pool, and are not used afterwards.
        unsafe { bindings::ferrite_helper_xdp_buff_free(&mut self.raw, self.pool.as_ptr()) };
    }
}

/// Lets packets that were redirected in this poll go.
#[inline]
pub fn flush_redirects(_cx: &Context<'_>) {
    // SAFETY: a context exists only while NAPI polls.
    unsafe { bindings::ferrite_helper_xdp_flush() };
}

/// A packet to be sent, owned.
///
/// # Invariants
///
/// `raw` is valid and owned. If there is a `pool`, all its memory came from there.
pub struct Frame {
    raw: NonNull<bindings::xdp_frame>,
    pool: Option<NonNull<bindings::page_pool>>,
}

// SAFETY: a frame does not belong to a thread.
unsafe impl Send for Frame {}

impl Frame {
    /// Takes over a frame, of whatever memory.
    ///
    /// # Safety
    ///
    /// `raw` is valid, and its owner gives it away.
    pub(crate) unsafe fn from_raw(
        raw: NonNull<bindings::xdp_frame>,
        pool: Option<NonNull<bindings::page_pool>>,
    ) -> Self {
        // INVARIANT: the caller promises it.
        Self { raw, pool }
    }

    /// Gives the frame away.
    pub(crate) fn into_raw(
        self,
    ) -> (
        NonNull<bindings::xdp_frame>,
        Option<NonNull<bindings::page_pool>>,
    ) {
        let this = ManuallyDrop::new(self);
        (this.raw, this.pool)
    }

    /// Returns whether `device` has its memory mapped, to be read too.
    pub(crate) fn is_mapped_for(&self, device: *mut bindings::device) -> bool {
        // SAFETY: a pool exists for as long as somebody has memory of it.
        self.pool.is_some_and(|pool| unsafe {
            bindings::ferrite_helper_page_pool_maps_both_ways(pool.as_ptr(), device)
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::xdp_frame {
        self.raw.as_ptr()
    }

    /// Returns its length in bytes.
    #[expect(clippy::len_without_is_empty, reason = "no packet is empty")]
    pub fn len(&self) -> u32 {
        // SAFETY: the frame is valid.
        unsafe { bindings::ferrite_helper_xdp_frame_len(self.raw.as_ptr()) }
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: the frame is owned and not used afterwards.
        unsafe { bindings::ferrite_helper_xdp_frame_free(self.raw.as_ptr()) };
    }
}
