// SPDX-License-Identifier: GPL-2.0

//! Text across the border: C strings in, messages out.

use std::ffi::{
    c_char,
    CStr, //
};

/// Returns a C string as a Rust one, the empty string for NULL. Bytes that are not UTF-8 are
/// replaced.
///
/// # Safety
///
/// `text` must be NULL or end with a NUL.
pub(crate) unsafe fn from_c(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: `text` is not NULL, and by the caller's promise it ends with a NUL.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}

/// Writes a message to a buffer of `room` bytes, cut where it does not fit, with a NUL at its end.
///
/// # Safety
///
/// `buffer` must be valid for writes of `room` bytes.
pub(crate) unsafe fn to_c(message: &str, buffer: *mut c_char, room: usize) {
    let Some(most) = room.checked_sub(1) else {
        return;
    };
    // A NUL within would end the message for C. Cutting inside of a character is harmless.
    let length = message
        .bytes()
        .take(most)
        .take_while(|byte| *byte != 0)
        .count();
    // SAFETY: `length <= room - 1`, so that by the caller's promise `buffer` is valid for writes of
    // `length + 1` bytes; a message in a `&str` and a buffer that is written do not overlap; `u8`
    // and `c_char` have the same size and alignment.
    unsafe {
        std::ptr::copy_nonoverlapping(message.as_ptr(), buffer.cast::<u8>(), length);
        buffer.add(length).write(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(message: &str, room: usize) -> Vec<u8> {
        let mut buffer = vec![0xaau8; 8];
        assert!(room <= buffer.len());
        // SAFETY: `buffer` has 8 bytes, and `room` is at most that.
        unsafe { to_c(message, buffer.as_mut_ptr().cast(), room) };
        buffer
    }

    #[test]
    fn message_that_fits_ends_with_nul() {
        assert_eq!(written("abc", 8), b"abc\0\xaa\xaa\xaa\xaa");
    }

    #[test]
    fn message_is_cut_to_the_room() {
        assert_eq!(written("abcdef", 4), b"abc\0\xaa\xaa\xaa\xaa");
        assert_eq!(written("abcdef", 1), b"\0\xaa\xaa\xaa\xaa\xaa\xaa\xaa");
        assert_eq!(written("abcdef", 0), [0xaa; 8]);
    }

    #[test]
    fn message_ends_at_a_nul_within() {
        assert_eq!(written("a\0c", 8), b"a\0\xaa\xaa\xaa\xaa\xaa\xaa");
    }

    #[test]
    fn strings_come_in_and_null_is_empty() {
        // SAFETY: both are NULL or end with a NUL.
        let (text, none) = unsafe { (from_c(c"x:y".as_ptr()), from_c(std::ptr::null())) };
        assert_eq!((text.as_str(), none.as_str()), ("x:y", ""));
    }
}
