// SPDX-License-Identifier: GPL-2.0

//! Handler of the command that reads what the firmware did before it stopped.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    CrashDump,
    ReadCrash, //
};
use ferrite_abi::regs::Features;

use super::{
    Call,
    Handler,
    Named, //
};

impl Handler for ReadCrash {
    const NEEDS: Features = Features::CRASH_DUMP;
    const NAMES: Named = Named::Pf;

    fn handle(&self, call: &mut Call<'_>, data: &mut CrashDump) -> Result<(), Status> {
        *data = call.device.state.trail.dump();
        Ok(())
    }
}
