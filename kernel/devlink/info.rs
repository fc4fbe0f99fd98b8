// SPDX-License-Identifier: GPL-2.0

//! What `devlink dev info` shows. devlink adds the driver's name itself.

use crate::bindings;
use core::marker::PhantomData;
use kernel::{
    error::to_result,
    fmt,
    prelude::*,
    str::CString, //
};

/// Names of versions that users know, from `include/net/devlink.h`.
pub mod versions {
    use kernel::prelude::CStr;

    /// Type and revision of the ASIC.
    pub const ASIC_ID: &CStr = c"asic.id";
    /// Revision of the ASIC.
    pub const ASIC_REV: &CStr = c"asic.rev";
    /// All of the firmware.
    pub const FW: &CStr = c"fw";
    /// What a machine boots from over the network.
    pub const FW_UNDI: &CStr = c"fw.undi";
    /// Set of parameters of the firmware.
    pub const FW_PSID: &CStr = c"fw.psid";
    /// Identity of the board design.
    pub const BOARD_ID: &CStr = c"board.id";
}

/// A request for information, which is being answered.
///
/// # Invariants
///
/// The pointer is valid for `'a`.
pub struct Info<'a>(*mut bindings::devlink_info_req, PhantomData<&'a mut ()>);

impl Info<'_> {
    /// # Safety
    ///
    /// `req` is a request that is being answered for the lifetime of what is returned.
    pub(crate) unsafe fn from_raw(req: *mut bindings::devlink_info_req) -> Self {
        // INVARIANT: by the requirements of this function.
        Self(req, PhantomData)
    }

    /// Tells the serial number of the board.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if there is no room, `ENOMEM`.
    pub fn serial_number(&mut self, value: fmt::Arguments<'_>) -> Result {
        let value = CString::try_from_fmt(value)?;
        // SAFETY: by the invariants of this type; the string is copied.
        to_result(unsafe { bindings::devlink_info_serial_number_put(self.0, value.as_char_ptr()) })
    }

    /// Tells a version of what cannot change, such as [`versions::ASIC_ID`].
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if there is no room, `ENOMEM`.
    pub fn fixed(&mut self, name: &CStr, value: fmt::Arguments<'_>) -> Result {
        let value = CString::try_from_fmt(value)?;
        // SAFETY: by the invariants of this type; the strings are copied.
        to_result(unsafe {
            bindings::devlink_info_version_fixed_put(
                self.0,
                name.as_char_ptr(),
                value.as_char_ptr(),
            )
        })
    }

    /// Tells a version of what runs, such as [`versions::FW`].
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if there is no room, `ENOMEM`.
    pub fn running(&mut self, name: &CStr, value: fmt::Arguments<'_>) -> Result {
        let value = CString::try_from_fmt(value)?;
        // SAFETY: by the invariants of this type; the strings are copied.
        to_result(unsafe {
            bindings::devlink_info_version_running_put(
                self.0,
                name.as_char_ptr(),
                value.as_char_ptr(),
            )
        })
    }

    /// Tells versions of a component that [`Ops::flash`](super::Ops::flash) takes images of: of what runs, and of what is
    /// stored.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if there is no room, `ENOMEM`.
    pub fn component(
        &mut self,
        name: &CStr,
        running: fmt::Arguments<'_>,
        stored: fmt::Arguments<'_>,
    ) -> Result {
        let running = CString::try_from_fmt(running)?;
        let stored = CString::try_from_fmt(stored)?;
        let kind = bindings::devlink_info_version_type_DEVLINK_INFO_VERSION_TYPE_COMPONENT;
        // SAFETY: by the invariants of this type; the strings are copied.
        to_result(unsafe {
            bindings::devlink_info_version_running_put_ext(
                self.0,
                name.as_char_ptr(),
                running.as_char_ptr(),
                kind,
            )
        })?;
        // SAFETY: as above.
        to_result(unsafe {
            bindings::devlink_info_version_stored_put_ext(
                self.0,
                name.as_char_ptr(),
                stored.as_char_ptr(),
                kind,
            )
        })
    }

    /// Tells a version of what is stored, and runs after the next activation.
    ///
    /// # Errors
    ///
    /// `EMSGSIZE` if there is no room, `ENOMEM`.
    pub fn stored(&mut self, name: &CStr, value: fmt::Arguments<'_>) -> Result {
        let value = CString::try_from_fmt(value)?;
        // SAFETY: by the invariants of this type; the strings are copied.
        to_result(unsafe {
            bindings::devlink_info_version_stored_put(
                self.0,
                name.as_char_ptr(),
                value.as_char_ptr(),
            )
        })
    }
}
