// SPDX-License-Identifier: GPL-2.0

//! What user space is told of a migration.

use crate::{
    bindings as own,
    device::{
        Device,
        Driver, //
    }, //
};
use kernel::{
    error::to_result,
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// There are the states STOP, STOP_COPY and RESUMING.
pub const MIGRATION_STOP_COPY: u32 = own::VFIO_MIGRATION_STOP_COPY;
/// There are states in which no DMA to other devices happens.
pub const MIGRATION_P2P: u32 = own::VFIO_MIGRATION_P2P;
/// There are states in which the function runs and is saved already.
pub const MIGRATION_PRE_COPY: u32 = own::VFIO_MIGRATION_PRE_COPY;

/// How much there is to read while the function runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrecopyInfo {
    /// Bytes of what is saved first.
    pub initial: u64,
    /// Bytes of what changed since.
    pub dirty: u64,
    /// What is saved first is to be read anew: the function was set up anew. Users who did not ask for the
    /// second version of this are not told.
    pub anew: bool,
}

/// Answers an `ioctl` of the file that a function is saved to: `VFIO_MIG_GET_PRECOPY_INFO`.
///
/// # Errors
///
/// `ENOTTY` for all others, `EINVAL` if there is no room for the answer, `EFAULT`, and those of `look`.
pub fn precopy_info<T: Driver>(
    device: &Device<T>,
    cmd: u32,
    arg: usize,
    look: impl FnOnce() -> Result<PrecopyInfo>,
) -> Result<isize> {
    /// `_IO(VFIO_TYPE, VFIO_BASE + 21)`.
    const GET_PRECOPY_INFO: u32 = ((b';' as u32) << 8) | (100 + 21);
    const SIZE: usize = 24;
    const { assert!(core::mem::offset_of!(own::vfio_precopy_info, dirty_bytes) + 8 == SIZE) };

    if cmd != GET_PRECOPY_INFO {
        return Err(ENOTTY);
    }
    let slice = UserSlice::new(UserPtr::from_addr(arg), SIZE);
    let (mut reader, mut writer) = slice.reader_writer();
    let room = reader.read::<u32>()?;
    let flags = reader.read::<u32>()?;
    if (room as usize) < SIZE {
        return Err(EINVAL);
    }
    let info = look()?;
    // Before the second version of it, the word was not written to.
    let flags = match (device.knows_precopy_v2(), info.anew) {
        (false, _) => flags,
        (true, true) => own::VFIO_PRECOPY_INFO_REINIT,
        (true, false) => 0,
    };
    writer.write(&room)?;
    writer.write(&flags)?;
    writer.write(&info.initial)?;
    writer.write(&info.dirty)?;
    Ok(0)
}

/// Returns the state that VFIO goes to next on the way from one to another, for a driver with all states.
///
/// # Errors
///
/// `EINVAL` if there is no way.
pub fn next_state(now: u32, wanted: u32) -> Result<u32> {
    // SAFETY: it is plain data, for which zeroes are fine.
    let mut vdev: KBox<core::mem::MaybeUninit<own::vfio_device>> =
        KBox::new(core::mem::MaybeUninit::zeroed(), GFP_KERNEL)?;
    let vdev = vdev.as_mut_ptr();
    let mut next = 0;
    // SAFETY: the function reads the flags of the device, and nothing else.
    to_result(unsafe {
        (*vdev).migration_flags = MIGRATION_STOP_COPY | MIGRATION_P2P | MIGRATION_PRE_COPY;
        own::vfio_mig_get_next_state(vdev, now, wanted, &mut next)
    })?;
    Ok(next)
}
