// SPDX-License-Identifier: GPL-2.0

//! Bindings to the headers that `bindings.h` in the crate's folder lists, beside those of `kernel::bindings`.
//!
//! A type that both know is two types: cast pointers. Where `kernel::bindings` has a function, use
//! that one.

#![allow(unknown_lints, unnecessary_transmutes)]
#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]

use kernel::ffi;
use pin_init::{
    MaybeZeroable,
    Zeroable, //
};

// The types that the kernel's bindgen parameters block.
type __kernel_size_t = usize;
type __kernel_ssize_t = isize;
type __kernel_ptrdiff_t = isize;

// SAFETY: `__BindgenBitfieldUnit<Storage>` is a newtype around `Storage`.
unsafe impl<Storage> Zeroable for __BindgenBitfieldUnit<Storage> where Storage: Zeroable {}

include!(env!("FERRITE_BINDINGS"));
