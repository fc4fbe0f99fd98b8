// SPDX-License-Identifier: GPL-2.0

//! Windows of a PCI BAR, which go blind when the device is unbound.

use kernel::{
    device::Bound,
    devres::Devres,
    io::Io,
    pci,
    prelude::*,
    sync::Arc, //
};

/// A window of a mapped BAR, accessed by aligned 32-bit words.
///
/// It may be cloned and kept. An access after the device was unbound, or one that does not fit the
/// window, is like one to a device that is not there: it reads as all ones and writes nothing.
///
/// # Invariants
///
/// `base + len` does not overflow.
#[derive(Clone)]
pub struct Window {
    bar: Arc<Devres<pci::Bar<'static>>>,
    base: usize,
    len: usize,
}

impl Window {
    /// Maps the whole of BAR `index` of `pdev`; `name` is for `/proc/iomem`.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the BAR is taken, `ENOMEM` if it has no address or there is no memory, `EINVAL`
    /// if there cannot be such a BAR.
    pub fn map(pdev: &pci::Device<Bound>, index: u32, name: &'static CStr) -> Result<Self> {
        let len = pdev.resource_len(index)?.try_into()?;
        let bar = pdev.iomap_region(index, name)?.into_devres()?;
        // INVARIANT: `base` is zero.
        Ok(Self {
            bar: Arc::new(bar, GFP_KERNEL)?,
            base: 0,
            len,
        })
    }

    /// Returns the window of `len` bytes at `offset` of this one.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it does not fit or `offset` is not aligned to four bytes.
    pub fn slice(&self, offset: usize, len: usize) -> Result<Self> {
        let end = offset.checked_add(len).ok_or(EINVAL)?;
        if end > self.len || offset % 4 != 0 {
            return Err(EINVAL);
        }
        // INVARIANT: `offset + len <= self.len`, so that `base + len` is at most that of `self`.
        Ok(Self {
            bar: self.bar.clone(),
            base: self.base + offset,
            len,
        })
    }

    /// Returns the length in bytes.
    #[expect(
        clippy::len_without_is_empty,
        reason = "nobody wants to know of an empty window"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline]
    fn address(&self, offset: u32) -> Option<usize> {
        let offset = offset as usize;
        let fits = offset % 4 == 0 && offset.checked_add(4)? <= self.len;
        fits.then_some(self.base + offset)
    }

    /// Reads the word at `offset`, in the byte order of the CPU.
    #[inline]
    pub fn read32(&self, offset: u32) -> u32 {
        self.address(offset)
            .and_then(|address| {
                let bar = self.bar.try_access()?;
                bar.try_read32(address).ok()
            })
            .unwrap_or(u32::MAX)
    }

    /// Writes `value` to the word at `offset`. The device sees what was written to memory before.
    #[inline]
    pub fn write32(&self, offset: u32, value: u32) {
        if let Some(address) = self.address(offset) {
            if let Some(bar) = self.bar.try_access() {
                // The address was checked against the length of the BAR.
                let _ = bar.try_write32(value, address);
            }
        }
    }

    /// Returns whether the device was unbound, so that all reads are all ones.
    pub fn is_revoked(&self) -> bool {
        self.bar.try_access().is_none()
    }
}
