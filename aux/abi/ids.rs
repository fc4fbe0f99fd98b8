// SPDX-License-Identifier: GPL-2.0

//! Identities: PCI ids, function ids, limits of the architecture.

/// PCI vendor id: Red Hat, whose device ids 10f0 to 10ff QEMU's `docs/specs/pci-ids.rst` keeps for
/// experiments.
pub const PCI_VENDOR: u16 = 0x1af4;
/// PCI device id of the physical function.
pub const PCI_DEVICE_PF: u16 = 0x10f0;
/// PCI device id of a virtual function.
pub const PCI_DEVICE_VF: u16 = 0x10f1;
/// PCI class code: network controller, Ethernet.
pub const PCI_CLASS: u32 = 0x02_00_00;
/// PCI revision id, one for each major version of the contract.
pub const PCI_REVISION: u8 = 1;

/// Largest number of VFs of one DPU.
pub const MAX_VFS: u16 = 64;
/// Largest number of SFs of one DPU.
pub const MAX_SFS: u16 = 1024;
/// Largest number of TX queues, and of RX queues, of one function.
pub const MAX_QUEUES: u16 = 64;
/// Largest number of MSI-X vectors of one PCI function (the limit of MSI-X itself).
pub const MAX_VECTORS: u16 = 2048;
/// Smallest MTU of a port, in bytes of layer 3 (as IPv4 demands).
pub const MIN_MTU: u16 = 68;
/// Largest MTU of a port, in bytes of layer 3.
pub const MAX_MTU: u16 = 9600;

/// What kind of function an id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// The physical function.
    Pf,
    /// A virtual function, with its index from 0.
    Vf(u16),
    /// A sub-function, with its index from 0.
    Sf(u16),
}

/// Id of a function of this DPU, as commands and events carry it.
///
/// 0 is the PF, `1 + i` is VF `i`, `0x100 + i` is SF `i`; other values name nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId(pub u16);

impl FunctionId {
    /// The physical function.
    pub const PF: Self = Self(0);
    /// Id of SF 0.
    pub const FIRST_SF: u16 = 0x100;

    /// Returns the id of VF `index`, if there can be such a VF.
    pub const fn vf(index: u16) -> Option<Self> {
        if index < MAX_VFS {
            Some(Self(1 + index))
        } else {
            None
        }
    }

    /// Returns the id of SF `index`, if there can be such an SF.
    pub const fn sf(index: u16) -> Option<Self> {
        if index < MAX_SFS {
            Some(Self(Self::FIRST_SF + index))
        } else {
            None
        }
    }

    /// Returns what the id names, or [`None`] if it can name nothing.
    pub const fn kind(self) -> Option<FunctionKind> {
        match self.0 {
            0 => Some(FunctionKind::Pf),
            id if id <= MAX_VFS => Some(FunctionKind::Vf(id - 1)),
            id if id >= Self::FIRST_SF && id - Self::FIRST_SF < MAX_SFS => {
                Some(FunctionKind::Sf(id - Self::FIRST_SF))
            }
            _ => None,
        }
    }
}
