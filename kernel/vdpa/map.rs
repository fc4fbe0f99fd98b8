// SPDX-License-Identifier: GPL-2.0

//! What a user mapped, made reachable for a device that does DMA.

use super::{
    Iotlb,
    Mapping, //
};
use kernel::{
    bindings,
    device::{
        Bound,
        Device, //
    },
    devres::Devres,
    dma::DmaAddress,
    prelude::*,
    sync::aref::ARef, //
};

/// A piece that is mapped for DMA.
struct Piece {
    addr: DmaAddress,
    length: usize,
    direction: bindings::dma_data_direction,
}

/// # Invariants
///
/// The pieces are mapped for `device`, which is bound.
struct Pieces {
    device: ARef<Device>,
    pieces: KVec<Piece>,
}

impl Drop for Pieces {
    fn drop(&mut self) {
        for piece in &self.pieces {
            // SAFETY: by the invariants of this type, each piece once.
            unsafe {
                bindings::dma_unmap_phys(
                    raw(&self.device),
                    piece.addr,
                    piece.length,
                    piece.direction,
                    0,
                );
            }
        }
    }
}

fn raw(device: &Device) -> *mut bindings::device {
    // CAST: `Device` is a transparent wrapper of `struct device`.
    core::ptr::from_ref(device).cast_mut().cast()
}

/// The memory of an address space is mapped for DMA while this lives and the device is bound.
pub struct Mapped(#[expect(dead_code, reason = "dropped")] Devres<Pieces>);

impl Mapped {
    /// Maps all memory of `iotlb` for `device`. Tells `with` of each mapping, and by what address the
    /// device reaches it.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a mapping of all addresses, `EIO` if memory cannot be mapped, `ENOMEM`, and that
    /// of `with`.
    pub fn new(
        device: &Device<Bound>,
        iotlb: &Iotlb,
        mut with: impl FnMut(Mapping, DmaAddress) -> Result,
    ) -> Result<Self> {
        // INVARIANT: there are no pieces yet.
        let mut mapped = Pieces {
            device: device.into(),
            pieces: KVec::new(),
        };
        iotlb.for_each(|mapping| {
            let length = usize::try_from(mapping.length)?;
            if length == 0 {
                return Err(EINVAL);
            }
            let direction = match (mapping.read, mapping.write) {
                (true, false) => bindings::dma_data_direction_DMA_TO_DEVICE,
                (false, true) => bindings::dma_data_direction_DMA_FROM_DEVICE,
                _ => bindings::dma_data_direction_DMA_BIDIRECTIONAL,
            };
            mapped.pieces.reserve(1, GFP_KERNEL)?;
            // SAFETY: the device is bound. Whoever made the table pinned the memory, for as long as it
            // is in it: until the driver set another or reset the device.
            let addr =
                unsafe { bindings::dma_map_phys(raw(device), mapping.phys, length, direction, 0) };
            if addr == DmaAddress::MAX {
                return Err(EIO);
            }
            // INVARIANT: it was just mapped. There is room.
            let piece = Piece {
                addr,
                length,
                direction,
            };
            mapped.pieces.push(piece, GFP_KERNEL)?;
            with(mapping, addr)
        })?;
        Ok(Self(Devres::new(device, Ok::<_, Error>(mapped))?))
    }
}
