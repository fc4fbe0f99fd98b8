// SPDX-License-Identifier: GPL-2.0

//! Handlers of the commands by which functions are provisioned.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    AttachFunction,
    ConfigureFunction,
    CreateSf,
    CreateSfDone,
    DestroySf,
    FunctionCaps,
    FunctionConfig,
    FunctionFields,
    QueryFunctionConfig,
    SetFunctionState,
    SetVfPolicy, //
};
use ferrite_abi::event::FunctionState;
use ferrite_abi::regs::Features;
use ferrite_abi::wire::{
    U16,
    U32, //
};

use super::{
    zero,
    Call,
    Handler,
    Named, //
};

impl Handler for CreateSf {
    const NEEDS: Features = Features::SUB_FUNCTIONS;
    const NAMES: Named = Named::Pf;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<CreateSfDone, Status> {
        let id = call.device.create_sf(call.host, self.sfnum.get())?;
        Ok(CreateSfDone {
            function: U16::new(id.0),
            rsvd: [0; 2],
        })
    }
}

impl Handler for DestroySf {
    const NEEDS: Features = Features::SUB_FUNCTIONS;
    const NAMES: Named = Named::Sf;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        if call.function()?.state != FunctionState::INACTIVE {
            return Err(Status::BAD_STATE);
        }
        call.device.end(call.host, call.target);
        Ok(())
    }
}

impl Handler for ConfigureFunction {
    const NAMES: Named = Named::Provisioned;
    const CHANGES: bool = true;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let fields = FunctionFields(self.mask.get());
        let caps = FunctionCaps(self.caps.get());
        let keeps =
            !fields.contains(FunctionFields::CAPS) || caps.contains(FunctionCaps::MIGRATABLE);
        // What is under way could not be ended any more.
        if !keeps && call.target.is_vf() && call.device.is_migrating(call.target) {
            return Err(Status::BAD_STATE);
        }
        call.device.configure(call.host, call.target, self)
    }
}

impl Handler for QueryFunctionConfig {
    const NAMES: Named = Named::Provisioned;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<FunctionConfig, Status> {
        let function = call.function()?;
        let provision = &function.provision;
        Ok(FunctionConfig {
            mac: provision.mac.0,
            caps: U16::new(provision.caps.0),
            max_eqs: U16::new(provision.max_eqs),
            vectors: U16::new(provision.vectors),
            vlan: U16::new(provision.vlan),
            state: U16::new(function.state.0),
            sfnum: U32::new(provision.sfnum),
        })
    }
}

impl Handler for SetFunctionState {
    const NAMES: Named = Named::Provisioned;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let active = active(self.state)?;
        call.device.set_active(call.host, call.target, active);
        Ok(())
    }
}

impl Handler for AttachFunction {
    const NEEDS: Features = Features::SUB_FUNCTIONS;
    const NAMES: Named = Named::Sf;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let attach = match self.attach {
            0 => false,
            1 => true,
            _ => return Err(Status::INVALID_FIELD),
        };
        call.device.attach(call.host, call.target, attach)
    }
}

impl Handler for SetVfPolicy {
    const NEEDS: Features = Features::SRIOV;
    const NAMES: Named = Named::Pf;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        active(self.state)?;
        call.device.state.vf_policy = FunctionState(self.state.get());
        Ok(())
    }
}

/// Returns whether a command asks for an active function, or an inactive one.
fn active(state: U16) -> Result<bool, Status> {
    match FunctionState(state.get()) {
        FunctionState::ACTIVE => Ok(true),
        FunctionState::INACTIVE => Ok(false),
        _ => Err(Status::INVALID_FIELD),
    }
}
