// SPDX-License-Identifier: GPL-2.0

//! Data buffers of commands that are too large for the stack, even for the moment in which they are made.

use core::{
    marker::PhantomData,
    ops::{
        Deref,
        DerefMut, //
    },
};
use ferrite_abi::wire::Wire;
use kernel::prelude::*;

/// A `T` in memory of its own.
///
/// The memory is as large as a `T`, which needs no alignment.
pub(crate) struct Boxed<T>(KVec<u8>, PhantomData<T>);

impl<T: Wire> Boxed<T> {
    /// Makes one of zeroes.
    pub(crate) fn zeroed() -> Result<Self> {
        const { assert!(align_of::<T>() == 1) };
        let bytes = KVec::from_elem(0, size_of::<T>(), GFP_KERNEL)?;
        Ok(Self(bytes, PhantomData))
    }
}

impl<T: Wire> Deref for Boxed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // PANIC: the memory is of the right size, and the alignment does not matter.
        T::ref_from_bytes(&self.0).ok().unwrap()
    }
}

impl<T: Wire> DerefMut for Boxed<T> {
    fn deref_mut(&mut self) -> &mut T {
        // PANIC: the memory is of the right size, and the alignment does not matter.
        T::mut_from_bytes(&mut self.0).ok().unwrap()
    }
}
