// SPDX-License-Identifier: GPL-2.0

//! A network function: the PF, a VF or an SF.

use ferrite_abi::event::FunctionState;

use crate::mac::Mac;
use crate::save::saved;

/// A function that is provisioned.
#[derive(Debug)]
pub(crate) struct Function {
    /// Where it is in its life.
    pub(crate) state: FunctionState,
    /// The MAC address that it has after a reset.
    pub(crate) provisioned_mac: Mac,
}

saved!(Function {
    state,
    provisioned_mac
});

impl Function {
    /// Makes an active function.
    pub(crate) fn new(provisioned_mac: Mac) -> Self {
        Self {
            state: FunctionState::ACTIVE,
            provisioned_mac,
        }
    }
}
