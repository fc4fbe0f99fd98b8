// SPDX-License-Identifier: GPL-2.0

//! Handlers of the commands that make the device fail.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    ClearFaults,
    FaultKind,
    InjectFault, //
};
use ferrite_abi::regs::Features;

use super::{
    Call,
    Handler, //
};
use crate::faults::Fault;

impl Handler for InjectFault {
    const NEEDS: Features = Features::FAULTS;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let kind = FaultKind(self.kind.get());
        if kind.name().is_none() {
            return Err(Status::INVALID_FIELD);
        }
        let fault = Fault {
            kind,
            opcode: self.opcode.get(),
            skip: self.skip.get(),
            count: self.count.get(),
            param: self.param.get(),
            chance: self.chance.get(),
            seed: self.seed.get(),
        };
        call.device
            .state
            .faults
            .arm(fault)
            .map_err(|_| Status::NO_RESOURCE)
    }
}

impl Handler for ClearFaults {
    const NEEDS: Features = Features::FAULTS;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.device.state.faults.clear();
        Ok(())
    }
}
