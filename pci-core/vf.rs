// SPDX-License-Identifier: GPL-2.0

//! VFs that are provisioned like SFs: each gets a port, and a driver only when it is activated.

use ferrite_abi::{
    cmd::{
        SetFunctionState,
        SetVfPolicy, //
    },
    event::FunctionState,
    ids::FunctionId,
    wire::U16, //
};
use ferrite_aux::{
    names,
    CmdError, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    pci,
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    devlink::{
        ExtAck,
        Locked, //
    },
    gate::Inside,
    pci as pci_ext, //
};

use crate::{
    board::Board,
    functions::{
        Functions,
        VfSet, //
    },
    logic::request::Request,
    port::{
        failed,
        FunctionPort,
        Kind, //
    }, //
};

/// Who made the VFs, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VfUse {
    /// There are none.
    Off,
    /// `sriov_numvfs`: they are active, and have ports in switchdev mode.
    Numvfs(u16),
    /// The first `devlink port add` for one: those without a port are inactive and nobody's.
    ByHand(u16),
}

fn pci_device(pf: &Device<Bound>) -> Result<&pci::Device<Bound>> {
    pf.try_into()
}

/// Lets the drivers of the system have a VF, which is active.
pub(crate) fn attach(pf: &Device<Bound>, index: u16) -> Result {
    pci_ext::attach_vf(pci_device(pf)?, index)
}

/// Lets the VFIO driver have a VF, which is active, and no other. Returns whether it took it.
pub(crate) fn attach_to_vfio(pf: &Device<Bound>, index: u16) -> Result<bool> {
    let pf = pci_device(pf)?;
    let attached = pci_ext::attach_vf_to(pf, index, names::VFIO_DRIVER);
    if !matches!(attached, Ok(true)) {
        pci_ext::forget_driver(pf, index);
    }
    attached
}

/// Takes a VF from its driver. If that is the one of VFIO, its user is asked to let go, and waited for.
pub(crate) fn release(pf: &Device<Bound>, index: u16) {
    if let Ok(pf) = pci_device(pf) {
        // Without a VF there is no driver.
        let _ = pci_ext::release_vf(pf, index);
    }
}

/// As [`release`], for a VF that the VFIO driver was let have: any driver may have it from then on.
pub(crate) fn release_from_vfio(pf: &Device<Bound>, index: u16) {
    release(pf, index);
    if let Ok(pf) = pci_device(pf) {
        pci_ext::forget_driver(pf, index);
    }
}

/// Takes those VFs from their driver that this very driver drives; returns which. A reset of the PF takes
/// their queues, and they are not told of it.
pub(crate) fn release_own(pf: &Device<Bound>) -> VfSet {
    let mut released = VfSet::EMPTY;
    if let Ok(pdev) = pci_device(pf) {
        for index in 0..pci_ext::num_vfs(pdev) {
            if let Ok(true) = pci_ext::release_own_vf(pdev, index) {
                released.insert(index.into());
            }
        }
    }
    released
}

/// Lets drivers have VFs again after a reset of the PF: those `released` before, and those that were not,
/// for there was no time.
pub(crate) fn start_over(pf: &Device<Bound>, released: &VfSet) {
    let late = release_own(pf);
    for set in [released, &late] {
        let mut from = 0;
        while let Some(index) = set.next(from) {
            from = index + 1;
            // CAST: the set has numbers of VFs.
            if let Err(error) = attach(pf, index as u16) {
                dev_warn!(pf, "VF {index} is not used after the reset: {error:?}\n");
            }
        }
    }
}

/// Sets the state in which VFs come.
pub(crate) fn set_policy(board: &Board, state: FunctionState) -> Result<(), CmdError> {
    let command = SetVfPolicy {
        state: U16::new(state.0),
        rsvd: [0; 2],
    };
    board.admin.send(board.own(), command)
}

impl Functions {
    /// Provisions the lowest VF that has no port, and adds one for it.
    pub(crate) fn add_vf(
        self: &Arc<Self>,
        request: &Request,
        board: &Inside<'_, Board>,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result<Arc<FunctionPort>> {
        let count = match self.vf_use() {
            VfUse::Numvfs(_) => {
                extack.set(fmt!("sriov_numvfs made the VFs; write 0 there first"));
                return Err(EBUSY);
            }
            VfUse::ByHand(count) => count,
            VfUse::Off => self.make_vfs(board, extack)?,
        };
        let index = self.vf_without_port(count).ok_or_else(|| {
            extack.set(fmt!("all {count} VFs have a port; delete one first"));
            ENOSPC
        })?;
        let id = FunctionId::vf(index).ok_or(EINVAL)?;
        let kind = Kind::Vf {
            index,
            by_hand: true,
        };
        let port = FunctionPort::add(self, board, (id, kind), request, locked, extack)?;
        self.remember(&port).inspect_err(|_| port.vanish())?;
        Ok(port)
    }

    /// Turns SR-IOV on for users who take VFs one by one: all are inactive, so that no driver takes
    /// them. Returns how many there are.
    fn make_vfs(&self, board: &Inside<'_, Board>, extack: &mut ExtAck<'_>) -> Result<u16> {
        let pdev = pci_device(board.device())?;
        let count = pci_ext::total_vfs(pdev);
        if count == 0 {
            extack.set(fmt!("the device has no VFs"));
            return Err(kernel_ext::devlink::not_supported());
        }
        set_policy(board, FunctionState::INACTIVE)
            .map_err(|error| failed(extack, "cannot keep VFs inactive", error))?;
        pci_ext::try_enable_sriov(pdev, count).inspect_err(|error| {
            if *error == EBUSY {
                extack.set(fmt!("the PF is busy or has VFs already; try again"));
            } else {
                extack.set(fmt!("cannot enable SR-IOV: {error:?}"));
            }
            let _ = set_policy(board, FunctionState::ACTIVE);
        })?;
        self.set_vf_use(VfUse::ByHand(count));
        Ok(count)
    }

    /// Makes a VF ready for the next who wants one. Its port is gone.
    pub(crate) fn vf_forgotten(&self, port: &FunctionPort, board: &Inside<'_, Board>) {
        if let Err(error) = port.restore(board) {
            dev_warn!(
                board.device(),
                "function {:#x} keeps the configuration of its last user: {error}\n",
                port.id().0
            );
        }
        if self.added_by_hand().1 == 0 {
            if let Some(retirement) = self.retirement() {
                retirement.enqueue();
            }
        }
    }

    /// Adds ports for the VFs that `sriov_numvfs` made.
    pub(crate) fn add_vf_ports(
        self: &Arc<Self>,
        board: &Inside<'_, Board>,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let VfUse::Numvfs(count) = self.vf_use() else {
            return Ok(());
        };
        for index in 0..count {
            let id = FunctionId::vf(index).ok_or(EINVAL)?;
            let kind = Kind::Vf {
                index,
                by_hand: false,
            };
            let port = FunctionPort::add(self, board, (id, kind), &Request::NONE, locked, extack)?;
            self.remember(&port).inspect_err(|_| port.vanish())?;
        }
        Ok(())
    }

    /// Has all of `count` VFs without a port inactive, which a reset of the PF made active.
    pub(crate) fn hold_vfs(&self, board: &Board, count: u16) {
        let inactive = SetFunctionState {
            state: U16::new(FunctionState::INACTIVE.0),
            rsvd: [0; 2],
        };
        for id in (0..count).filter_map(FunctionId::vf) {
            if self.find(id).is_none() {
                // If it fails, that is in the log, and a driver may take the VF.
                let _ = board.admin.send(id, inactive);
            }
        }
    }
}
