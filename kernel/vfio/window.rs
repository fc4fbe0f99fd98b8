// SPDX-License-Identifier: GPL-2.0

//! The BAR that user space may map, and that is taken away from it while the function must not be touched.
//!
//! A page that is touched then is one of ordinary memory, so that nothing happens: neither does the user die of
//! it, nor does the function hear of it. When the window opens again that page goes, and the next touch finds the
//! BAR. What was written to the page is gone when it is found again.

use crate::{
    bindings as own,
    device::{
        Device,
        Driver, //
    }, //
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    new_mutex,
    page::{
        Page,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::Mutex, //
};

/// Whether the BAR is there for those who mapped it.
#[pin_data]
pub(crate) struct Window {
    /// What is found in its place. Mappings of it end before the device is closed, and it is freed later.
    page: Page,
    /// Held while a page is put into an address space, and while pages are taken away, so that one that was put
    /// in for one state does not outlive it.
    #[pin]
    open: Mutex<bool>,
}

impl Window {
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            page: Page::alloc_page(GFP_KERNEL | __GFP_ZERO)?,
            open <- new_mutex!(true, "kernel_vfio_window"),
        })
    }
}

/// The C table of a mapping of the window of a `T`.
pub(crate) struct Mapping<T>(PhantomData<T>);

impl<T: Driver> Mapping<T> {
    const TABLE: own::vm_operations_struct = own::vm_operations_struct {
        fault: Some(Self::fault),
        ..pin_init::zeroed()
    };
    pub(crate) const TABLE_REF: &'static own::vm_operations_struct = &Self::TABLE;

    unsafe extern "C" fn fault(vmf: *mut own::vm_fault) -> own::vm_fault_t {
        // SAFETY: the memory management passes a valid fault of a mapping with this table, which was made by
        // `vfio_pci_core_mmap`; that stored the device, and the mapping keeps the file open that keeps it.
        let (vma, address, core) = unsafe {
            let what = &(*vmf).__bindgen_anon_1;
            let core: *mut own::vfio_pci_core_device = (*what.vma).vm_private_data.cast();
            (what.vma, what.address, core)
        };
        // SAFETY: as above; the table is of a `T`.
        let device = unsafe { Device::<T>::of(core.cast()) };
        // SAFETY: the lock was initialized by VFIO, and is given back below.
        let lock = unsafe { (&raw mut (*core).memory_lock).cast() };
        // SAFETY: as above.
        unsafe { bindings::down_read(lock) };
        let window = device.window();
        let result = {
            let open = window.open.lock();
            if *open {
                // SAFETY: the fault is of a mapping of a BAR of this device, whose memory lock is held.
                unsafe {
                    let pfn = own::ferrite_helper_vfio_bar_pfn(core, vmf);
                    own::vfio_pci_vmf_insert_pfn(core, vmf, pfn, 0)
                }
            } else {
                // SAFETY: the mapping is one of page frames; the page lives for longer than the mapping.
                unsafe {
                    let pfn = own::ferrite_helper_vfio_page_pfn(window.page.as_ptr().cast());
                    bindings::vmf_insert_pfn(vma.cast(), address, pfn)
                }
            }
        };
        // SAFETY: it was taken above.
        unsafe { bindings::up_read(lock) };
        result
    }
}

impl<T: Driver> Device<T> {
    /// Takes the window away from those who mapped it. What they write there from now on is lost.
    pub fn close_window(&self) {
        self.turn_window(false);
    }

    /// Gives the window back to those who mapped it.
    pub fn open_window(&self) {
        self.turn_window(true);
    }

    fn turn_window(&self, open: bool) {
        let window = self.window();
        let mut is_open = window.open.lock();
        if *is_open == open {
            return;
        }
        *is_open = open;
        if !open {
            // SAFETY: the page is of that size. Nobody has it mapped: mappings of it went when the window opened, and
            // there are no new ones while the lock is held.
            let _ = unsafe { window.page.fill_zero_raw(0, PAGE_SIZE) };
        }
        let offset = i64::from(T::WINDOW) << own::VFIO_PCI_OFFSET_SHIFT;
        // SAFETY: the inode was made with the device, and mappings of it are those of the device's regions.
        unsafe {
            let inode: *mut bindings::inode = (*self.core()).vdev.inode.cast();
            let mapping = (*inode).i_mapping;
            bindings::unmap_mapping_range(mapping, offset, 1 << own::VFIO_PCI_OFFSET_SHIFT, 1);
        }
    }
}
