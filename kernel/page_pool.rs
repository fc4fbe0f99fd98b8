// SPDX-License-Identifier: GPL-2.0

//! Page pools: memory that packets are received into, mapped for the device once.
//!
//! C header: [`include/net/page_pool/helpers.h`](srctree/include/net/page_pool/helpers.h)

use crate::{
    bindings,
    napi::{
        self,
        Instance, //
    },
    netdev_lock::Lock,
    skb::SkBuff, //
};
use core::{
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    error::from_err_ptr,
    ffi::c_void,
    prelude::*,
    sync::Arc, //
};

/// Returns how many bytes the network stack wants before the data of a packet, and how many after
/// it, in a buffer that becomes a packet without being copied.
pub fn overhead() -> (u32, u32) {
    // SAFETY: no requirements.
    unsafe {
        (
            bindings::ferrite_helper_skb_headroom(),
            bindings::ferrite_helper_skb_tailroom(),
        )
    }
}

/// How the buffers of a pool are cut.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Bytes of memory that a buffer takes.
    pub size: u32,
    /// Bytes at its start that the device does not write.
    pub headroom: u32,
    /// Bytes after those that it may write.
    pub data: u32,
}

impl Layout {
    /// Returns whether a buffer holds what it is to hold, for a purpose.
    fn is_sound(&self, purpose: Purpose) -> bool {
        let (_, tailroom) = overhead();
        let tailroom = if purpose.makes_packets() { tailroom } else { 0 };
        let used = u64::from(self.headroom) + u64::from(self.data) + u64::from(tailroom);
        self.data > 0 && used <= u64::from(self.size) && self.size as usize <= PAGE_SIZE
    }

    /// Returns whether a page makes two buffers.
    fn makes_halves(&self) -> bool {
        self.size as usize <= PAGE_SIZE / 2
    }
}

/// What the buffers of a pool are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Packets.
    Packets,
    /// Packets that XDP programs see first: the device may be given a buffer to read.
    Programs,
    /// What packets have behind their headers. It may be memory of a provider's, which the kernel cannot read.
    Data,
}

impl Purpose {
    /// Returns whether a packet can begin in a buffer.
    fn makes_packets(self) -> bool {
        self != Self::Data
    }
}

const PAGE_SIZE: usize = kernel::page::PAGE_SIZE;

/// A pool of receive buffers, for one receive queue and the NAPI instance that it is
/// [attached](PagePool::attach) to.
///
/// It must be dropped while its NAPI instance is disabled. Buffers may outlive it. A page makes two buffers, if two
/// fit.
///
/// # Invariants
///
/// `pool` is valid and recycles on behalf of `napi`, or nobody; only who has the `&mut Self` and runs on behalf of
/// that instance allocates from it, who has an `&Instance`. `layout` is sound for `purpose`.
pub struct PagePool {
    pool: NonNull<bindings::page_pool>,
    // The pool refers to it.
    napi: Option<Arc<Instance>>,
    layout: Layout,
    purpose: Purpose,
    /// The other half of the page that a buffer was cut from.
    half: Option<Buffer>,
}

// SAFETY: a pool does not belong to a thread; its use is restricted as the invariants say.
unsafe impl Send for PagePool {}

impl PagePool {
    /// Makes a pool for receive queue `queue`, of about `buffers` buffers that `device` writes to. The lock is
    /// that of the network device.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `layout` does not fit in a page with what the network stack needs around the
    /// data, or there is no such queue, or for errors in making the pool.
    pub fn new(
        lock: &Lock,
        device: &Device<Bound>,
        queue: u16,
        buffers: u32,
        layout: Layout,
        purpose: Purpose,
    ) -> Result<Self> {
        let netdev = lock.device();
        if !layout.is_sound(purpose) || queue >= netdev.rx_queues() {
            return Err(EINVAL);
        }
        let pages = if layout.makes_halves() {
            buffers.div_ceil(2)
        } else {
            buffers
        };
        // SAFETY: both devices exist; the network device has the queue, and its lock is held.
        let pool = from_err_ptr(unsafe {
            bindings::ferrite_helper_page_pool_create(
                // CAST: `Device` is a transparent wrapper of `struct device`.
                core::ptr::from_ref(device).cast_mut().cast(),
                netdev.as_ptr(),
                queue,
                pages,
                purpose == Purpose::Programs,
                purpose == Purpose::Data,
            )
        })?;
        // INVARIANT: the pool was just made, for no instance, and `layout` was checked.
        Ok(Self {
            pool: NonNull::new(pool).ok_or(ENOMEM)?,
            napi: None,
            layout,
            purpose,
            half: None,
        })
    }

    /// Makes the pool that of a NAPI instance, which is the one to allocate from it. Does nothing if it is one's
    /// already.
    pub fn attach(&mut self, napi: &Instance) {
        if self.napi.is_none() {
            // SAFETY: both are valid; the instance is kept for as long as the pool refers to it.
            unsafe {
                bindings::page_pool_enable_direct_recycling(self.pool.as_ptr(), napi.as_ptr())
            };
            // INVARIANT: this is whom it recycles for now.
            self.napi = Some(napi.to_arc());
        }
    }

    /// Takes the pool from its NAPI instance, if that is `napi`: it may go on without the pool.
    pub fn detach(&mut self, napi: &Instance) {
        if self.is_of(napi) {
            // SAFETY: the pool is valid. Its instance does not poll, or this is its poll, as the caller runs on
            // its behalf.
            unsafe { bindings::page_pool_disable_direct_recycling(self.pool.as_ptr()) };
            // INVARIANT: it recycles for nobody now.
            self.napi = None;
        }
    }

    fn is_of(&self, napi: &Instance) -> bool {
        self.napi
            .as_ref()
            .is_some_and(|own| core::ptr::eq(napi, &**own))
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::page_pool {
        self.pool.as_ptr()
    }

    /// Returns how its buffers are cut.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Takes a buffer out, without sleeping. [`None`] if there is no memory, or if `napi` is not
    /// the instance that the pool is attached to.
    #[inline]
    pub fn alloc(&mut self, napi: &Instance) -> Option<Buffer> {
        if !self.is_of(napi) {
            return None;
        }
        if let Some(half) = self.half.take() {
            return Some(half);
        }
        // SAFETY: the pool is valid; nobody else allocates from it or recycles into its cache
        // meanwhile: that is done on behalf of `self.napi` only, which the caller runs for, and
        // which does not run twice at a time.
        let netmem = unsafe { bindings::ferrite_helper_page_pool_alloc(self.pool.as_ptr()) };
        if netmem == 0 {
            return None;
        }
        // INVARIANT: the page was just allocated from the pool, and is owned in two parts if it is
        // halved, each of which has room for the pool's layout, which is sound.
        let buffer = |offset| Buffer {
            netmem,
            pool: self.pool,
            offset,
            layout: self.layout,
            purpose: self.purpose,
        };
        if self.layout.makes_halves() {
            // SAFETY: the page was just allocated and nobody else's.
            unsafe { bindings::ferrite_helper_page_pool_halve(netmem) };
            self.half = Some(buffer(PAGE_SIZE as u32 / 2));
        }
        Some(buffer(0))
    }
}

impl Drop for PagePool {
    fn drop(&mut self) {
        // SAFETY: the pool is valid and not used afterwards. It is freed when the last buffer is
        // back.
        unsafe { bindings::page_pool_destroy(self.pool.as_ptr()) };
    }
}

/// A buffer that the device may write to.
///
/// # Invariants
///
/// It owns the fragment of `layout.size` bytes at `offset` of `netmem`, which came from `pool`. The
/// pool exists for as long as one of its fragments is owned. `layout` is sound for `purpose`; if packets can be
/// made of it, `netmem` is a page that the kernel has mapped.
pub struct Buffer {
    netmem: bindings::netmem_ref,
    pool: NonNull<bindings::page_pool>,
    offset: u32,
    layout: Layout,
    purpose: Purpose,
}

// SAFETY: a fragment does not belong to a thread, and may be put back from any.
unsafe impl Send for Buffer {}

impl Buffer {
    fn dma_base(&self) -> bindings::dma_addr_t {
        // SAFETY: it came from a pool whose memory is mapped.
        unsafe { bindings::ferrite_helper_page_pool_dma_addr(self.netmem) }
    }

    /// Returns the bus address that the device writes to.
    #[inline]
    pub fn addr(&self) -> u64 {
        self.dma_base() + u64::from(self.offset + self.layout.headroom)
    }

    /// Returns how many bytes it may write.
    #[inline]
    #[expect(
        clippy::misnamed_getters,
        reason = "the layout's size is that of the memory, this that of the device's part"
    )]
    pub fn size(&self) -> u32 {
        self.layout.data
    }

    /// Takes the buffer back from the device, which wrote `len` bytes to it; fewer, if it cannot
    /// have written as many.
    #[inline]
    pub fn received(self, len: u32) -> Received {
        let len = len.min(self.layout.data);
        let offset = self.offset + self.layout.headroom;
        // SAFETY: the range lies in the fragment, by the type's invariants, which is mapped in this
        // direction by the device of the pool.
        unsafe {
            bindings::ferrite_helper_page_pool_sync_for_cpu(
                self.pool.as_ptr(),
                self.netmem,
                offset,
                len,
            )
        };
        // INVARIANT: `len` is at most what the layout has room for.
        Received { buffer: self, len }
    }

    /// Gives the fragment away: its memory and the offset in that.
    fn into_raw(self) -> (bindings::netmem_ref, u32) {
        let this = ManuallyDrop::new(self);
        (this.netmem, this.offset)
    }

    /// Returns where the fragment begins, if packets can be made of it.
    fn data(&self) -> Option<*mut c_void> {
        // SAFETY: by the type's invariants the memory is a page that is mapped, and the offset lies in it.
        self.purpose.makes_packets().then(|| unsafe {
            bindings::ferrite_helper_page_pool_address(self.netmem).byte_add(self.offset as usize)
        })
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the fragment is owned, came from this pool, and is not used afterwards.
        unsafe { bindings::ferrite_helper_page_pool_put(self.pool.as_ptr(), self.netmem) };
    }
}

/// A buffer with data in it that the device does not write to any more.
///
/// # Invariants
///
/// `len` is at most `buffer.layout.data`.
pub struct Received {
    buffer: Buffer,
    len: u32,
}

/// What a [`Received`] consists of: `len` bytes after the headroom of the fragment at `offset` of `netmem`, a page
/// whose fragment is mapped at `data`; it came from `pool`.
pub(crate) struct Parts {
    pub(crate) netmem: bindings::netmem_ref,
    pub(crate) data: *mut c_void,
    pub(crate) pool: NonNull<bindings::page_pool>,
    pub(crate) offset: u32,
    pub(crate) layout: Layout,
    pub(crate) len: u32,
}

impl Received {
    /// Gives the fragment away, if packets can be made of it; if not, it is put back.
    pub(crate) fn into_parts(self) -> Option<Parts> {
        let Self { buffer, len } = self;
        let data = buffer.data()?;
        let (pool, layout) = (buffer.pool, buffer.layout);
        let (netmem, offset) = buffer.into_raw();
        Some(Parts {
            netmem,
            data,
            pool,
            offset,
            layout,
            len,
        })
    }

    /// Returns whether it came from `pool`.
    pub(crate) fn is_of(&self, pool: NonNull<bindings::page_pool>) -> bool {
        self.buffer.pool == pool
    }

    /// Makes a packet of it, without copying. [`None`] if there is no memory, or packets cannot be made of it.
    #[inline]
    pub fn into_packet(self, cx: &napi::Context<'_>) -> Option<SkBuff> {
        let Self { buffer, len } = self;
        let layout = buffer.layout;
        let data = buffer.data()?;
        // SAFETY: the fragment is mapped in the kernel. `build_packet` takes it over only if it succeeds. The layout
        // is sound, so that headroom, data and the tail that the stack needs fit in. A context exists only while
        // NAPI polls.
        let skb = unsafe {
            bindings::ferrite_helper_napi_build_packet(
                cx.as_ptr(),
                data,
                layout.size,
                layout.headroom,
                len,
            )
        };
        let skb = NonNull::new(skb)?;
        // The packet owns the fragment from here on.
        buffer.into_raw();
        // SAFETY: the packet is new and nobody else's.
        Some(unsafe { SkBuff::from_raw(skb) })
    }

    /// Makes a packet that is a copy of it. [`None`] if there is no memory, or packets cannot be made of it.
    #[inline]
    pub fn copy(&self, cx: &napi::Context<'_>) -> Option<SkBuff> {
        let data = self.buffer.data()?;
        // SAFETY: the first `len` bytes of data lie in the fragment, by the type's invariants. A
        // context exists only while NAPI polls.
        let skb = unsafe {
            bindings::ferrite_helper_napi_copy_packet(
                cx.as_ptr(),
                data.byte_add(self.buffer.layout.headroom as usize),
                self.len,
            )
        };
        // SAFETY: the packet is new and nobody else's.
        Some(unsafe { SkBuff::from_raw(NonNull::new(skb)?) })
    }

    /// Appends it to a packet. Returns whether the packet has room for it; if not, the buffer is
    /// put back.
    #[inline]
    pub fn append_to(self, skb: &mut SkBuff) -> bool {
        let Self { buffer, len } = self;
        // SAFETY: the packet is owned.
        let frags = unsafe { bindings::ferrite_helper_skb_frags(skb.as_ptr()) };
        if frags >= bindings::MAX_SKB_FRAGS {
            return false;
        }
        let layout = buffer.layout;
        let (netmem, offset) = buffer.into_raw();
        // SAFETY: the packet is owned, has room, and takes the fragment over; the first `len` bytes
        // of data lie in it.
        unsafe {
            bindings::ferrite_helper_skb_add_frag(
                skb.as_ptr(),
                netmem,
                offset + layout.headroom,
                len,
                layout.size,
            );
        }
        true
    }

    /// Returns the buffer, for the device to write to again.
    #[inline]
    pub fn recycle(self) -> Buffer {
        let buffer = self.buffer;
        let offset = buffer.offset + buffer.layout.headroom;
        // SAFETY: the range lies in the fragment, which is mapped in this direction by the device
        // of the pool.
        unsafe {
            bindings::ferrite_helper_page_pool_sync_for_device(
                buffer.pool.as_ptr(),
                buffer.netmem,
                offset,
                self.len,
            )
        };
        buffer
    }
}
