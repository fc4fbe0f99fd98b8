// SPDX-License-Identifier: GPL-2.0

//! Words of the wire: little-endian integers, layout assertions, code newtypes.

pub use zerocopy::byteorder::little_endian::{
    U16,
    U32,
    U64, //
};
pub use zerocopy::{
    FromBytes,
    Immutable,
    IntoBytes,
    KnownLayout, //
};
// The derive macros, which the kernel's build of zerocopy does not re-export.
pub use zerocopy_derive::*;

/// Plain data that can be read from and written to memory shared with the other side.
pub trait Wire: FromBytes + IntoBytes + Immutable + KnownLayout + Copy + 'static {}

impl<T: FromBytes + IntoBytes + Immutable + KnownLayout + Copy + 'static> Wire for T {}

/// Asserts the size of a wire type and the offset of each named field.
macro_rules! layout {
    ($ty:ty: $size:literal { $($field:ident @ $off:literal),* $(,)? }) => {
        const _: () = {
            assert!(core::mem::size_of::<$ty>() == $size);
            $( assert!(core::mem::offset_of!($ty, $field) == $off); )*
        };
    };
}
pub(crate) use layout;

/// Declares a newtype for a code or a set of flags whose unknown values survive.
///
/// Generates the constants, and `NAMED`, a table of name and value for documentation and traces.
macro_rules! codes {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident($repr:ty) {
            $( $(#[doc = $doc:literal])* $constant:ident = $value:expr; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        $vis struct $name(pub $repr);

        impl $name {
            $( $(#[doc = $doc])* pub const $constant: Self = Self($value); )*

            /// Every constant with its name, in the order of declaration.
            pub const NAMED: &'static [(&'static str, $repr)] =
                &[$( (stringify!($constant), $value) ),*];

            /// Returns the name of exactly this value, if it has one.
            pub fn name(self) -> Option<&'static str> {
                Self::NAMED.iter().find(|(_, value)| *value == self.0).map(|(name, _)| *name)
            }

            /// Returns whether all bits of `other` are set in `self`.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }

            /// Returns the bits of both.
            #[must_use]
            pub const fn with(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self.name() {
                    Some(name) => write!(f, "{}", name),
                    None => write!(f, concat!(stringify!($name), "({:#x})"), self.0),
                }
            }
        }

        impl core::fmt::Display for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                core::fmt::Debug::fmt(self, f)
            }
        }
    };
}
pub(crate) use codes;
