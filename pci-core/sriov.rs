// SPDX-License-Identifier: GPL-2.0

//! VFs, which come and go by `sriov_numvfs` and are probed as plain functions.

use kernel::{
    device::Core,
    pci,
    prelude::*, //
};
use kernel_ext::pci::{
    disable_sriov,
    disable_sriov_in_unbind,
    enable_sriov,
    num_vfs, //
};

/// Has `vfs` VFs, or none; returns how many there are now.
pub(crate) fn configure(pdev: &pci::Device<Core<'_>>, vfs: u16) -> Result<u16> {
    if vfs == 0 {
        disable_sriov(pdev).inspect_err(|_| say_they_stay(pdev))?;
    } else {
        enable_sriov(pdev, vfs)
            .inspect_err(|error| dev_err!(pdev, "enabling {vfs} VFs: {error:?}\n"))?;
    }
    Ok(vfs)
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
