// SPDX-License-Identifier: GPL-2.0

//! BAR map of a PCI function, and the layout of a doorbell page.

use crate::ids::{
    FunctionId,
    FunctionKind,
    MAX_SFS,
    MAX_VFS, //
};

/// BAR of the registers ([`crate::regs`]), 64-bit, not prefetchable.
pub const BAR_REGS: u8 = 0;
/// Size of [`BAR_REGS`] in bytes, PF and VF alike.
pub const BAR_REGS_SIZE: u32 = 0x4000;

/// Offset in [`BAR_REGS`] of a VF from which on there is what belongs to who moves the VF, and not to its driver, if
/// [`MigrationCaps::VF_CONTROLS`](crate::cmd::MigrationCaps::VF_CONTROLS) says that anything is.
pub const VF_CONTROLS_OFFSET: u32 = 0x2000;

/// BAR of the doorbell pages, 64-bit. A VF has one page; the PF has [`PF_DOORBELL_PAGES`]: its own, those
/// of its SFs and those of representors, where [`FunctionId::doorbell_page`] says.
pub const BAR_DOORBELLS: u8 = 2;

/// BAR of the MSI-X table and pending bits, 64-bit.
pub const BAR_MSIX: u8 = 4;
/// Offset of the MSI-X pending bits in [`BAR_MSIX`]; the table is at 0.
pub const MSIX_PBA_OFFSET: u32 = 0x8000;
/// Size of [`BAR_MSIX`] in bytes: room for 2048 vectors.
pub const BAR_MSIX_SIZE: u32 = 0x1_0000;

/// Size and alignment of a doorbell page in bytes: one page of the smallest system page size, so
/// that it can be mapped to user space or to a virtual machine.
pub const DOORBELL_PAGE: u32 = 0x1000;

/// Offset in a doorbell page of the doorbells of TX queues, four bytes each.
pub const DOORBELL_TX: u32 = 0x000;
/// Offset in a doorbell page of the doorbells of RX queues, four bytes each.
pub const DOORBELL_RX: u32 = 0x400;
/// Offset in a doorbell page of the notification words of virtqueues, four bytes each.
pub const DOORBELL_VIRTIO: u32 = 0x800;

/// Offset in the doorbell page of a virtio-net device at which the value that is written tells the
/// virtqueue: its index in bits 15:0, what the virtio specification adds to it in bits 31:16. It is at
/// the start of the page, so that the page is a notification area by itself.
pub const DOORBELL_NOTIFY: u32 = 0x000;

/// Which queue a doorbell belongs to. Except at [`DOORBELL_NOTIFY`], the value that is written does not
/// matter to the device: it reads from memory how far the driver is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doorbell {
    /// TX queue of this index.
    Tx(u16),
    /// RX queue of this index.
    Rx(u16),
    /// Virtqueue of this index.
    Virtio(u16),
}

impl Doorbell {
    /// Decodes an offset into a doorbell page. Unaligned offsets and those past the end ring
    /// nothing.
    pub const fn decode(offset: u32) -> Option<Self> {
        if offset % 4 != 0 || offset >= DOORBELL_PAGE {
            return None;
        }
        if offset >= DOORBELL_VIRTIO {
            Some(Self::Virtio(((offset - DOORBELL_VIRTIO) / 4) as u16))
        } else if offset >= DOORBELL_RX {
            Some(Self::Rx(((offset - DOORBELL_RX) / 4) as u16))
        } else {
            Some(Self::Tx(((offset - DOORBELL_TX) / 4) as u16))
        }
    }

    /// Returns the offset of this doorbell in its page.
    pub const fn offset(self) -> u32 {
        match self {
            Self::Tx(queue) => DOORBELL_TX + 4 * queue as u32,
            Self::Rx(queue) => DOORBELL_RX + 4 * queue as u32,
            Self::Virtio(queue) => DOORBELL_VIRTIO + 4 * queue as u32,
        }
    }
}

/// Number of doorbell pages of a PF, however many functions it has.
pub const PF_DOORBELL_PAGES: u16 = 4096;

const _: () = assert!(1 + 2 * MAX_SFS + MAX_VFS <= PF_DOORBELL_PAGES);

impl FunctionId {
    const FIRST_SF_PAGE: u16 = 1;
    const FIRST_SF_REPRESENTOR_PAGE: u16 = Self::FIRST_SF_PAGE + MAX_SFS;
    const FIRST_VF_REPRESENTOR_PAGE: u16 = Self::FIRST_SF_REPRESENTOR_PAGE + MAX_SFS;

    /// Returns the doorbell page of the function in the BAR of its PCI function, if there can be such
    /// a function.
    pub const fn doorbell_page(self) -> Option<u16> {
        match self.kind() {
            Some(FunctionKind::Pf | FunctionKind::Vf(_)) => Some(0),
            Some(FunctionKind::Sf(index)) => Some(Self::FIRST_SF_PAGE + index),
            Some(FunctionKind::SfRepresentor(index)) => {
                Some(Self::FIRST_SF_REPRESENTOR_PAGE + index)
            }
            Some(FunctionKind::VfRepresentor(index)) => {
                Some(Self::FIRST_VF_REPRESENTOR_PAGE + index)
            }
            None => None,
        }
    }

    /// Returns the function that a doorbell page of the PF belongs to, if any.
    pub const fn of_pf_page(page: u16) -> Option<Self> {
        if page < Self::FIRST_SF_PAGE {
            Some(Self::PF)
        } else if page < Self::FIRST_SF_REPRESENTOR_PAGE {
            Self::sf(page - Self::FIRST_SF_PAGE)
        } else if page < Self::FIRST_VF_REPRESENTOR_PAGE {
            match Self::sf(page - Self::FIRST_SF_REPRESENTOR_PAGE) {
                Some(sf) => sf.representor(),
                None => None,
            }
        } else {
            match Self::vf(page - Self::FIRST_VF_REPRESENTOR_PAGE) {
                Some(vf) => vf.representor(),
                None => None,
            }
        }
    }
}
