// SPDX-License-Identifier: GPL-2.0

//! Entries of C tables of operations, for operations that a trait leaves open.

/// An entry of a table of the operations of a `T`: the function, of this table or another, if `T`
/// implements the operation.
macro_rules! optional {
    ($has:ident, $function:ident) => {
        optional!($has, Self, $function)
    };
    ($has:ident, $table:ty, $function:ident) => {
        if T::$has {
            Some(<$table>::$function)
        } else {
            None
        }
    };
}
pub(crate) use optional;

/// As [`optional`], for a function that is generic itself.
macro_rules! elsewhere {
    ($has:ident, $($function:ident)::+) => {
        if T::$has {
            Some($($function)::+::<T>)
        } else {
            None
        }
    };
}
pub(crate) use elsewhere;
