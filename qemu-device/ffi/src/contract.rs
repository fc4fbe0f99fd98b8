// SPDX-License-Identifier: GPL-2.0

//! What the glue has to know of the hardware contract to present the device on a PCI bus.

use ferrite_abi::{
    bar,
    ids, //
};

/// Numbers of the hardware contract: identities, BARs and limits.
#[repr(C)]
pub struct FerriteContract {
    /// PCI vendor id.
    pub vendor_id: u16,
    /// PCI device id of the physical function.
    pub pf_device_id: u16,
    /// PCI device id of a virtual function.
    pub vf_device_id: u16,
    /// PCI base class and subclass.
    pub class_id: u16,
    /// PCI revision id.
    pub revision: u8,
    /// BAR of the registers.
    pub regs_bar: u8,
    /// BAR of the doorbell pages.
    pub doorbells_bar: u8,
    /// BAR of the MSI-X table, which is at its start, and the pending bits.
    pub msix_bar: u8,
    /// Size of the BAR of the registers.
    pub regs_size: u32,
    /// Size of the PF's BAR of doorbell pages.
    pub pf_doorbells_size: u32,
    /// Size of a VF's BAR of doorbell pages.
    pub vf_doorbells_size: u32,
    /// Size of the BAR of the MSI-X table and the pending bits.
    pub msix_size: u32,
    /// Offset of the MSI-X pending bits in their BAR.
    pub msix_pba_offset: u32,
    /// Largest number of VFs.
    pub max_vfs: u16,
}

/// PCI class codes are three bytes, of which QEMU leaves the last one, the programming interface,
/// at zero.
const _: () = assert!(ids::PCI_CLASS & 0xff == 0 && ids::PCI_CLASS >> 24 == 0);

static CONTRACT: FerriteContract = FerriteContract {
    vendor_id: ids::PCI_VENDOR,
    pf_device_id: ids::PCI_DEVICE_PF,
    vf_device_id: ids::PCI_DEVICE_VF,
    class_id: (ids::PCI_CLASS >> 8) as u16,
    revision: ids::PCI_REVISION,
    regs_bar: bar::BAR_REGS,
    doorbells_bar: bar::BAR_DOORBELLS,
    msix_bar: bar::BAR_MSIX,
    regs_size: bar::BAR_REGS_SIZE,
    pf_doorbells_size: bar::PF_DOORBELL_PAGES as u32 * bar::DOORBELL_PAGE,
    vf_doorbells_size: bar::DOORBELL_PAGE,
    msix_size: bar::BAR_MSIX_SIZE,
    msix_pba_offset: bar::MSIX_PBA_OFFSET,
    max_vfs: ids::MAX_VFS,
};

/// Returns the numbers of the hardware contract.
#[no_mangle]
pub extern "C" fn ferrite_contract() -> &'static FerriteContract {
    &CONTRACT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn msix_structures_of_the_largest_function_fit_and_do_not_overlap() {
        let table = u32::from(ids::MAX_VECTORS) * 16;
        let pending = u32::from(ids::MAX_VECTORS).div_ceil(64) * 8;
        assert!(table <= CONTRACT.msix_pba_offset);
        assert!(CONTRACT.msix_pba_offset + pending <= CONTRACT.msix_size);
    }

    #[test]
    fn bars_can_be_decoded() {
        for size in [
            CONTRACT.regs_size,
            CONTRACT.pf_doorbells_size,
            CONTRACT.vf_doorbells_size,
            CONTRACT.msix_size,
        ] {
            assert!(size.is_power_of_two() && size >= 0x1000, "{size:#x}");
        }
    }
}
