// SPDX-License-Identifier: GPL-2.0

//! What the device says of a function.

use ferrite_abi::{
    cmd::{
        QueryFunction,
        QueryFunctionDone, //
    },
    ids::FunctionId, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*, //
};

use crate::{
    adminq::AdminQueue,
    logic::identity::{
        check_function,
        Basics, //
    },
};

/// What is known of a function.
pub(crate) struct Function {
    /// Its id.
    pub(crate) id: FunctionId,
    /// What the device answered, which makes sense.
    pub(crate) answer: QueryFunctionDone,
}

impl Function {
    /// Asks the device about `id`, one of the functions on the PCI function that `basics` are of.
    ///
    /// # Errors
    ///
    /// `EIO` if the answer makes no sense, or what the failure of the command means.
    pub(crate) fn query(
        device: &Device<Bound>,
        admin: &AdminQueue,
        basics: &Basics,
        id: FunctionId,
    ) -> Result<Self> {
        let answer = admin.send(id, QueryFunction {}).inspect_err(|error| {
            dev_err!(device, "querying function {:#x}: {error}\n", id.0);
        })?;
        check_function(&answer, basics).map_err(|unfit| {
            dev_err!(
                device,
                "function {:#x} does not make sense: {unfit}\n",
                id.0
            );
            EIO
        })?;
        Ok(Self { id, answer })
    }
}
