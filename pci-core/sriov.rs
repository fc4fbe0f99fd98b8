// SPDX-License-Identifier: GPL-2.0

//! VFs that come and go by `sriov_numvfs`. They are active and probed as plain functions.

use ferrite_abi::event::FunctionState;
use kernel::{
    device::Core,
    pci,
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    devlink::{
        ExtAck,
        Locked, //
    },
    pci::{
        disable_sriov,
        disable_sriov_in_unbind,
        enable_sriov,
        num_vfs, //
    }, //
};

use crate::{
    functions::Functions,
    vf::{
        set_policy,
        VfUse, //
    }, //
};

/// Has `vfs` VFs, or none; returns how many there are now.
pub(crate) fn configure(
    pdev: &pci::Device<Core<'_>>,
    functions: &Arc<Functions>,
    locked: &Locked<'_>,
    vfs: u16,
) -> Result<u16> {
    if vfs == 0 {
        disable(pdev, functions, locked)?;
    } else {
        enable(pdev, functions, locked, vfs)?;
    }
    Ok(vfs)
}

fn enable(
    pdev: &pci::Device<Core<'_>>,
    functions: &Arc<Functions>,
    locked: &Locked<'_>,
    vfs: u16,
) -> Result {
    let board = functions.board().enter().ok_or(ENODEV)?;
    set_policy(&board, FunctionState::ACTIVE)
        .inspect_err(|error| dev_err!(pdev, "VFs cannot come active: {error}\n"))?;
    enable_sriov(pdev, vfs)
        .inspect_err(|error| dev_err!(pdev, "enabling {vfs} VFs: {error:?}\n"))?;
    functions.set_vf_use(VfUse::Numvfs(vfs));
    if !functions.is_switchdev() {
        return Ok(());
    }
    functions
        .add_vf_ports(&board, locked, &mut ExtAck::none())
        .inspect_err(|error| {
            dev_err!(pdev, "adding ports for {vfs} VFs: {error:?}\n");
            functions.remove_vf_ports();
            functions.set_vf_use(VfUse::Off);
            let _ = disable_sriov(pdev);
        })
}

fn disable(
    pdev: &pci::Device<Core<'_>>,
    functions: &Arc<Functions>,
    locked: &Locked<'_>,
) -> Result {
    let (_, by_hand) = functions.added_by_hand();
    if by_hand > 0 {
        dev_warn!(
            pdev,
            "{by_hand} VFs have a port that was added with devlink; delete these first\n"
        );
        return Err(EBUSY);
    }
    let before = functions.vf_use();
    functions.remove_vf_ports();
    match disable_sriov(pdev) {
        Ok(()) => functions.set_vf_use(VfUse::Off),
        Err(error) => {
            say_they_stay(pdev);
            functions.set_vf_use(before);
            if let (true, Some(board)) = (functions.is_switchdev(), functions.board().enter()) {
                // They are as they were; if a port does not come back, that is in the log.
                let _ = functions.add_vf_ports(&board, locked, &mut ExtAck::none());
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Removes the VFs of a PF that is being unbound: without it they cannot be controlled.
pub(crate) fn remove(pdev: &pci::Device<Core<'_>>) {
    if num_vfs(pdev) > 0 && disable_sriov_in_unbind(pdev).is_err() {
        say_they_stay(pdev);
    }
}

fn say_they_stay(pdev: &pci::Device<Core<'_>>) {
    dev_warn!(pdev, "VFs stay: one is in use by a virtual machine\n");
}
