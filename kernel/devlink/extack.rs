// SPDX-License-Identifier: GPL-2.0

//! Text for the user whose request failed.

use crate::bindings;
use core::{
    fmt::{
        self,
        Write, //
    },
    marker::PhantomData, //
};
use kernel::prelude::*;

/// The extended acknowledgement of a netlink request.
///
/// # Invariants
///
/// The pointer is null or valid for reads and writes for `'a`.
pub struct ExtAck<'a>(*mut bindings::netlink_ext_ack, PhantomData<&'a mut ()>);

impl ExtAck<'_> {
    /// Returns one that nobody reads, for what is done without a user who asked for it.
    pub fn none() -> Self {
        // INVARIANT: it is null.
        Self(core::ptr::null_mut(), PhantomData)
    }

    /// # Safety
    ///
    /// `extack` is null or valid, and nobody else's, for the lifetime of what is returned.
    pub(crate) unsafe fn from_raw(extack: *mut bindings::netlink_ext_ack) -> Self {
        // INVARIANT: by the requirements of this function.
        Self(extack, PhantomData)
    }

    /// Sets the text that the user sees beside the errno; what does not fit is cut off.
    pub fn set(&mut self, text: fmt::Arguments<'_>) {
        // SAFETY: by the invariants of this type.
        let Some(extack) = (unsafe { self.0.as_mut() }) else {
            return;
        };
        let mut line = Line {
            buffer: &mut extack._msg_buf,
            len: 0,
        };
        // What does not fit is cut off, which is not an error.
        let _ = line.write_fmt(text);
        line.terminate();
        extack._msg = extack._msg_buf.as_ptr();
    }
}

/// Text in a buffer of C characters, with room left for the zero at its end.
struct Line<'a> {
    buffer: &'a mut [kernel::ffi::c_char],
    len: usize,
}

impl Line<'_> {
    fn terminate(&mut self) {
        if let Some(end) = self.buffer.get_mut(self.len) {
            *end = 0;
        }
    }
}

impl Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.len + 1 >= self.buffer.len() {
                return Err(fmt::Error);
            }
            self.buffer[self.len] = byte as kernel::ffi::c_char;
            self.len += 1;
        }
        Ok(())
    }
}

#[kunit_tests(ferrite_extack)]
mod tests {
    use super::*;
    use kernel::str::CStrExt;

    #[test]
    fn text_that_does_not_fit_is_cut() -> Result {
        let mut raw = KBox::new(pin_init::zeroed::<bindings::netlink_ext_ack>(), GFP_KERNEL)?;
        let room = raw._msg_buf.len() - 1;
        // SAFETY: `raw` is valid for as long as the `ExtAck`.
        let mut extack = unsafe { ExtAck::from_raw(&mut *raw) };
        extack.set(format_args!("{:0>1$}", 7, 300));
        // SAFETY: `set` terminated the text in `raw._msg_buf`.
        let text = unsafe { CStr::from_char_ptr(raw._msg) };
        assert_eq!(text.count_bytes(), room);
        Ok(())
    }

    #[test]
    fn text_is_set_anew() -> Result {
        let mut raw = KBox::new(pin_init::zeroed::<bindings::netlink_ext_ack>(), GFP_KERNEL)?;
        // SAFETY: `raw` is valid for as long as the `ExtAck`.
        let mut extack = unsafe { ExtAck::from_raw(&mut *raw) };
        extack.set(format_args!("a long text"));
        extack.set(format_args!("short {}", 1));
        // SAFETY: `set` terminated the text in `raw._msg_buf`.
        let text = unsafe { CStr::from_char_ptr(raw._msg) };
        assert_eq!(text.to_bytes(), b"short 1");
        Ok(())
    }
}
