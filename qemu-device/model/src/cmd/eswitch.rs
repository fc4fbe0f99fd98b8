// SPDX-License-Identifier: GPL-2.0

//! Handlers of the commands about the embedded switch and its rules.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    AddRule,
    AddRuleDone,
    EswitchMode,
    QueryEswitch,
    QueryEswitchDone,
    QueryRule,
    QueryRuleDone,
    RemoveRule,
    Rule,
    SetEswitchMode, //
};
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
use crate::rates::MAX_NODES;
use crate::rules::MAX_RULES;

impl Handler for SetEswitchMode {
    const NEEDS: Features = Features::SWITCHDEV;
    const NAMES: Named = Named::Pf;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let mode = EswitchMode(self.mode.get());
        if mode.name().is_none() {
            return Err(Status::INVALID_FIELD);
        }
        call.device.set_mode(call.host, mode);
        Ok(())
    }
}

impl Handler for QueryEswitch {
    const NEEDS: Features = Features::SWITCHDEV;
    const NAMES: Named = Named::Pf;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<QueryEswitchDone, Status> {
        let state = &call.device.state;
        Ok(QueryEswitchDone {
            mode: U16::new(state.mode.0),
            max_rate_nodes: U16::new(MAX_NODES),
            rules: U32::new(state.rules.count()),
            // CAST: a constant.
            max_rules: U32::new(MAX_RULES as u32),
        })
    }
}

impl Handler for AddRule {
    const NEEDS: Features = Features::SWITCHDEV;
    const NAMES: Named = Named::Pf;

    fn handle(&self, call: &mut Call<'_>, rule: &mut Rule) -> Result<AddRuleDone, Status> {
        let rule = U32::new(call.device.add_rule(rule)?);
        Ok(AddRuleDone { rule })
    }
}

impl Handler for RemoveRule {
    const NEEDS: Features = Features::SWITCHDEV;
    const NAMES: Named = Named::Pf;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let was_there = call.device.state.rules.remove(self.rule.get());
        was_there.then_some(()).ok_or(Status::BAD_STATE)
    }
}

impl Handler for QueryRule {
    const NEEDS: Features = Features::SWITCHDEV;
    const NAMES: Named = Named::Pf;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<QueryRuleDone, Status> {
        let now = call.device.now;
        let rules = &call.device.state.rules;
        rules.query(self.rule.get(), now).ok_or(Status::BAD_STATE)
    }
}
