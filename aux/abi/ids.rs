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
    /// The representor of a virtual function.
    VfRepresentor(u16),
    /// The representor of a sub-function.
    SfRepresentor(u16),
}

/// Id of a function of this DPU, as commands and events carry it.
///
/// 0 is the PF, `1 + i` is VF `i`, `0x100 + i` is SF `i`, and `0x8000` more than one of these two is
/// its representor; other values name nothing.
///
/// A representor is there while what it represents is provisioned and the switch is in switchdev
/// mode. It has queues of its own as an SF has, and is always in use: what is sent through it reaches
/// the port of the function represented, and what that one sends and no rule wants is received from
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FunctionId(pub u16);

impl FunctionId {
    /// The physical function.
    pub const PF: Self = Self(0);
    /// Id of SF 0.
    pub const FIRST_SF: u16 = 0x100;
    /// Bit by which the id of a representor differs from that of what it represents.
    pub const REPRESENTOR: u16 = 0x8000;

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

    /// Returns the id of the representor of a VF or SF; [`None`] for all others.
    pub const fn representor(self) -> Option<Self> {
        match self.kind() {
            Some(FunctionKind::Vf(_) | FunctionKind::Sf(_)) => {
                Some(Self(self.0 | Self::REPRESENTOR))
            }
            _ => None,
        }
    }

    /// Returns the id of what a representor represents; [`None`] for all others.
    pub const fn represented(self) -> Option<Self> {
        match self.kind() {
            Some(FunctionKind::VfRepresentor(_) | FunctionKind::SfRepresentor(_)) => {
                Some(Self(self.0 & !Self::REPRESENTOR))
            }
            _ => None,
        }
    }

    /// Returns what the id names, or [`None`] if it can name nothing.
    pub const fn kind(self) -> Option<FunctionKind> {
        let represents = self.0 & Self::REPRESENTOR != 0;
        match self.0 & !Self::REPRESENTOR {
            0 if !represents => Some(FunctionKind::Pf),
            0 => None,
            id if id <= MAX_VFS && represents => Some(FunctionKind::VfRepresentor(id - 1)),
            id if id <= MAX_VFS => Some(FunctionKind::Vf(id - 1)),
            id if id >= Self::FIRST_SF && id - Self::FIRST_SF < MAX_SFS => {
                let index = id - Self::FIRST_SF;
                Some(if represents {
                    FunctionKind::SfRepresentor(index)
                } else {
                    FunctionKind::Sf(index)
                })
            }
            _ => None,
        }
    }
}
