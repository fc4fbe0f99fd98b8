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
    fn is_sound(&self) -> bool {
        let (_, tailroom) = overhead();
        let used = u64::from(self.headroom) + u64::from(self.data) + u64::from(tailroom);
        self.data > 0 && used <= u64::from(self.size) && self.size as usize <= PAGE_SIZE
    }

    /// Returns whether a page makes two buffers.
    fn makes_halves(&self) -> bool {
        self.size as usize <= PAGE_SIZE / 2
    }
}

/// Who writes to the buffers of a pool, and who reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device writes.
    FromDevice,
    /// The device writes, and may be given a buffer to read.
    Both,
}

const PAGE_SIZE: usize = kernel::page::PAGE_SIZE;

/// A pool of receive buffers, for one NAPI instance.
///
/// It must be dropped while its NAPI instance is disabled. Buffers may outlive it. A page makes two buffers, if two
/// fit.
///
/// # Invariants
///
/// `pool` is valid and created for `napi`; only who has the `&mut Self` and runs on behalf of that
/// instance allocates from it, who has an `&Instance`. `layout` is sound.
pub struct PagePool {
    pool: NonNull<bindings::page_pool>,
    // The pool refers to it.
    napi: Arc<Instance>,
    layout: Layout,
    /// The other half of the page that a buffer was cut from.
    half: Option<Buffer>,
}

// SAFETY: a pool does not belong to a thread; its use is restricted as the invariants say.
unsafe impl Send for PagePool {}

impl PagePool {
    /// Makes a pool for receive queue `queue` that `napi` polls, of about `buffers` buffers that
    /// `device` writes to.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `layout` does not fit in a page with what the network stack needs around the
    /// data, or for errors in making the pool.
    pub fn new(
        device: &Device<Bound>,
        napi: &Instance,
        queue: u16,
        buffers: u32,
        layout: Layout,
        direction: Direction,
    ) -> Result<Self> {
        if !layout.is_sound() {
            return Err(EINVAL);
        }
        let pages = if layout.makes_halves() {
            buffers.div_ceil(2)
        } else {
            buffers
        };
        // SAFETY: the device, the instance and its network device exist.
        let pool = from_err_ptr(unsafe {
            bindings::ferrite_helper_page_pool_create(
                // CAST: `Device` is a transparent wrapper of `struct device`.
                core::ptr::from_ref(device).cast_mut().cast(),
                napi.as_ptr(),
                queue,
                pages,
                direction == Direction::Both,
            )
        })?;
        // INVARIANT: the pool was just made for `napi`, and `layout` was checked.
        Ok(Self {
            pool: NonNull::new(pool).ok_or(ENOMEM)?,
            napi: napi.to_arc(),
            layout,
            half: None,
        })
    }

    pub(crate) fn as_ptr(&self) -> *mut bindings::page_pool {
        self.pool.as_ptr()
    }

    /// Returns how its buffers are cut.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Takes a buffer out, without sleeping. [`None`] if there is no memory, or if `napi` is not
    /// the instance that the pool is for.
    #[inline]
    pub fn alloc(&mut self, napi: &Instance) -> Option<Buffer> {
        if !core::ptr::eq(napi, &*self.napi) {
            return None;
        }
        if let Some(half) = self.half.take() {
            return Some(half);
        }
        // SAFETY: the pool is valid; nobody else allocates from it or recycles into its cache
        // meanwhile: that is done on behalf of `self.napi` only, which the caller runs for, and
        // which does not run twice at a time.
        let page = unsafe { bindings::ferrite_helper_page_pool_alloc(self.pool.as_ptr()) };
        let page = NonNull::new(page)?;
        // INVARIANT: the page was just allocated from the pool, and is owned in two parts if it is
        // halved, each of which has room for the pool's layout, which is sound.
        let buffer = |offset| Buffer {
            page,
            pool: self.pool,
            offset,
            layout: self.layout,
        };
        if self.layout.makes_halves() {
            // SAFETY: the page was just allocated and nobody else's.
            unsafe { bindings::ferrite_helper_page_pool_halve(page.as_ptr()) };
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
/// It owns the fragment of `layout.size` bytes at `offset` of `page`, which came from `pool`. The
/// pool exists for as long as one of its fragments is owned. `layout` is sound.
pub struct Buffer {
    page: NonNull<bindings::page>,
    pool: NonNull<bindings::page_pool>,
    offset: u32,
    layout: Layout,
}

// SAFETY: a fragment does not belong to a thread, and may be put back from any.
unsafe impl Send for Buffer {}

impl Buffer {
    fn dma_base(&self) -> bindings::dma_addr_t {
        // SAFETY: the page came from a pool that maps its pages.
        unsafe { bindings::ferrite_helper_page_pool_dma_addr(self.page.as_ptr()) }
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
                self.page.as_ptr(),
                offset,
                len,
            )
        };
        // INVARIANT: `len` is at most what the layout has room for.
        Received { buffer: self, len }
    }

    /// Gives the fragment away: its page and the offset in it.
    fn into_raw(self) -> (NonNull<bindings::page>, u32) {
        let this = ManuallyDrop::new(self);
        (this.page, this.offset)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: the fragment is owned, came from this pool, and is not used afterwards.
        unsafe { bindings::ferrite_helper_page_pool_put(self.pool.as_ptr(), self.page.as_ptr()) };
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

/// What a [`Received`] consists of: `len` bytes after the headroom of the fragment at `offset` of
/// `page`, which came from `pool`.
pub(crate) struct Parts {
    pub(crate) page: NonNull<bindings::page>,
    pub(crate) pool: NonNull<bindings::page_pool>,
    pub(crate) offset: u32,
    pub(crate) layout: Layout,
    pub(crate) len: u32,
}

impl Received {
    /// Gives the fragment away.
    pub(crate) fn into_parts(self) -> Parts {
        let Self { buffer, len } = self;
        let (pool, layout) = (buffer.pool, buffer.layout);
        let (page, offset) = buffer.into_raw();
        Parts {
            page,
            pool,
            offset,
            layout,
            len,
        }
    }

    /// Returns whether it came from `pool`.
    pub(crate) fn is_of(&self, pool: NonNull<bindings::page_pool>) -> bool {
        self.buffer.pool == pool
    }

    /// Makes a packet of it, without copying. [`None`] if there is no memory.
    #[inline]
    pub fn into_packet(self, cx: &napi::Context<'_>) -> Option<SkBuff> {
        let Self { buffer, len } = self;
        let layout = buffer.layout;
        // SAFETY: the page is mapped in the kernel, as it is not from high memory, and the offset
        // lies in it. `build_packet` takes the fragment over only if it succeeds. The layout is
        // sound, so that headroom, data and the tail that the stack needs fit in. A context exists
        // only while NAPI polls.
        let skb = unsafe {
            let data = bindings::ferrite_helper_page_pool_address(buffer.page.as_ptr())
                .byte_add(buffer.offset as usize);
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

    /// Makes a packet that is a copy of it. [`None`] if there is no memory.
    #[inline]
    pub fn copy(&self, cx: &napi::Context<'_>) -> Option<SkBuff> {
        let buffer = &self.buffer;
        // SAFETY: the first `len` bytes of data lie in the fragment, by the type's invariants. A
        // context exists only while NAPI polls.
        let skb = unsafe {
            let data = bindings::ferrite_helper_page_pool_address(buffer.page.as_ptr())
                .byte_add((buffer.offset + buffer.layout.headroom) as usize);
            bindings::ferrite_helper_napi_copy_packet(cx.as_ptr(), data, self.len)
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
        let (page, offset) = buffer.into_raw();
        // SAFETY: the packet is owned, has room, and takes the fragment over; the first `len` bytes
        // of data lie in it.
        unsafe {
            bindings::ferrite_helper_skb_add_frag(
                skb.as_ptr(),
                page.as_ptr(),
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
                buffer.page.as_ptr(),
                offset,
                self.len,
            )
        };
        buffer
    }
}
