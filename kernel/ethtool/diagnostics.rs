// SPDX-License-Identifier: GPL-2.0

//! How a driver finds out what is wrong: tests of the device (`ethtool -t`), and its registers
//! (`ethtool -d`).

use super::TEXT;
use crate::{
    bindings,
    netdev::{
        self,
        Device, //
    },
    netdev_lock::Lock, //
};
use core::marker::PhantomData;
use kernel::prelude::*;

/// A test of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Test {
    /// Its name, of 31 bytes at most.
    pub name: &'static str,
    /// It disturbs traffic: it runs only if the user does not mind.
    pub offline: bool,
}

/// What a driver does to find out what is wrong.
#[vtable]
pub trait Diagnostics: netdev::Operations {
    /// The tests, in the order in which they run.
    const TESTS: &'static [Test] = &[];
    /// Version of what [`Diagnostics::registers`] writes.
    const REGISTERS_VERSION: u32 = 0;
    /// Number of words that it writes.
    const REGISTERS_LEN: usize = 0;

    /// Runs a test, of which this is the index. May sleep.
    fn self_test(device: &Device<Self>, lock: &Lock, test: usize) -> Result {
        let _ = (device, lock, test);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }

    /// Writes the registers to `words`, which are zero.
    fn registers(device: &Device<Self>, words: &mut [u32]) {
        let _ = (device, words);
        build_error!(kernel::error::VTABLE_DEFAULT_ERROR)
    }
}

/// Writes the names of tests, each of which has `TEXT` bytes; the rest stays as it is.
pub(super) fn names(tests: &[Test], to: &mut [c_char]) {
    for (test, to) in tests.iter().zip(to.chunks_exact_mut(TEXT)) {
        super::copy_text(to, format_args!("{}", test.name));
    }
}

/// C functions for the table of a `T`, as [`super::Table`].
pub(super) struct Table<T: Diagnostics>(PhantomData<T>);

#[expect(
    clippy::missing_safety_doc,
    reason = "what holds for all of them is said at `super::Table`"
)]
impl<T: Diagnostics> Table<T> {
    pub(super) unsafe extern "C" fn test(
        device: *mut bindings::net_device,
        test: *mut bindings::ethtool_test,
        results: *mut u64,
    ) {
        // SAFETY: see `super::Table`. The core has room for as many results as `sset_count` told.
        let (device, lock, test, results) = unsafe {
            (
                Device::<T>::from_raw(device),
                Lock::assume(device),
                &mut *test,
                core::slice::from_raw_parts_mut(results, T::TESTS.len()),
            )
        };
        let offline = test.flags & bindings::ethtool_test_flags_ETH_TEST_FL_OFFLINE != 0;
        for (index, result) in results.iter_mut().enumerate() {
            if T::TESTS[index].offline && !offline {
                continue;
            }
            if let Err(error) = T::self_test(device, &lock, index) {
                // CAST: an errno is small, and negative.
                *result = u64::from(error.to_errno().unsigned_abs());
                test.flags |= bindings::ethtool_test_flags_ETH_TEST_FL_FAILED;
            }
        }
    }

    pub(super) unsafe extern "C" fn registers_len(_device: *mut bindings::net_device) -> c_int {
        // CAST: a few hundred bytes.
        (T::REGISTERS_LEN * size_of::<u32>()) as c_int
    }

    pub(super) unsafe extern "C" fn registers(
        device: *mut bindings::net_device,
        about: *mut bindings::ethtool_regs,
        to: *mut c_void,
    ) {
        // SAFETY: see `super::Table`. The core has room for what `registers_len` told, zeroed and aligned
        // to a page, whatever the user asked for.
        let (device, about, words) = unsafe {
            (
                Device::<T>::from_raw(device),
                &mut *about,
                core::slice::from_raw_parts_mut(to.cast::<u32>(), T::REGISTERS_LEN),
            )
        };
        about.version = T::REGISTERS_VERSION;
        T::registers(device, words);
    }
}

#[kunit_tests(ferrite_ethtool_diagnostics)]
mod tests {
    use super::*;

    #[test]
    fn names_are_texts_of_c() {
        const TESTS: [Test; 2] = [
            Test {
                name: "Link",
                offline: false,
            },
            Test {
                name: "a name that is longer than those of C can be",
                offline: true,
            },
        ];
        let mut to = [1; 2 * TEXT];
        names(&TESTS, &mut to);
        assert!(to[..4].iter().zip(b"Link").all(|(a, b)| *a as u8 == *b));
        assert_eq!(to[4], 0);
        assert_eq!(to[2 * TEXT - 2] as u8, b's');
        assert_eq!(to[2 * TEXT - 1], 0);
    }
}
