// SPDX-License-Identifier: GPL-2.0

//! Doorbells, which any thread may ring while the device runs.

use std::sync::Arc;

use ferrite_abi::bar::{
    DOORBELL_NOTIFY,
    DOORBELL_PAGE, //
};
use ferrite_model::{
    Latch,
    PciFn, //
};

use crate::device::FerriteDevice;

/// The doorbells of a device. It may outlive the device, for writes that are under way while the
/// device goes.
pub struct FerriteLatch(Arc<Latch>);

/// Returns the doorbells of a device, for `ferrite_latch_free` to free.
///
/// # Safety
///
/// `device` must be valid (rule 1 of this crate).
#[no_mangle]
pub unsafe extern "C" fn ferrite_device_latch(device: *const FerriteDevice) -> *mut FerriteLatch {
    // SAFETY: by the caller's promise, `device` came from `Box::into_raw` in `ferrite_device_new`
    // and was not freed; only shared references to it are ever made.
    let device = unsafe { &*device };
    Box::into_raw(Box::new(FerriteLatch(device.latch())))
}

/// Frees what `ferrite_device_latch` returned. NULL is ignored.
///
/// # Safety
///
/// `latch` must be NULL or valid, and must not be used any more.
#[no_mangle]
pub unsafe extern "C" fn ferrite_latch_free(latch: *mut FerriteLatch) {
    if !latch.is_null() {
        // SAFETY: by the caller's promise, `latch` came from `Box::into_raw` in
        // `ferrite_device_latch`, was not freed before and is not used again.
        drop(unsafe { Box::from_raw(latch) });
    }
}

/// Notes a write of `size` bytes of `value` at `offset` in the doorbell BAR of a PCI function: 0 is the
/// PF, `1 + i` is VF `i`. Returns whether the device has to be scheduled to run. Any thread may call
/// this at any time.
///
/// # Safety
///
/// `latch` must be valid.
#[no_mangle]
pub unsafe extern "C" fn ferrite_latch_ring(
    latch: *const FerriteLatch,
    function: u16,
    offset: u64,
    value: u64,
    size: u8,
) -> bool {
    // SAFETY: by the caller's promise, `latch` came from `ferrite_device_latch` and was not freed;
    // `Latch` is `Sync`, so that shared references may be made on any thread.
    let latch = unsafe { &*latch };
    // A doorbell is 32 bits wide, and 16 will do where a virtio driver notifies; a write of another
    // width rings none.
    let notifies = offset % u64::from(DOORBELL_PAGE) == u64::from(DOORBELL_NOTIFY);
    let fits = size == 4 || size == 2 && notifies;
    // CAST: no more bits than were written.
    fits && latch.0.ring(PciFn(function), offset, value as u32)
}

const _: () = {
    const fn is_sync<T: Sync + Send>() {}
    is_sync::<FerriteLatch>();
};
