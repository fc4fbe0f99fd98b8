// SPDX-License-Identifier: GPL-2.0

//! Handlers of the commands about rates.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    CreateRateNode,
    CreateRateNodeDone,
    DestroyRateNode,
    QueryRate,
    QueryRateDone,
    Rate,
    SetRate,
    RATE_ROOT, //
};
use ferrite_abi::wire::U16;

use super::{
    zero,
    Call,
    Handler,
    Named, //
};

impl Handler for CreateRateNode {
    const NAMES: Named = Named::Pf;

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<CreateRateNodeDone, Status> {
        let node = call.device.state.rates.create()?;
        Ok(CreateRateNodeDone {
            node: U16::new(node),
            rsvd: [0; 2],
        })
    }
}

impl Handler for DestroyRateNode {
    const NAMES: Named = Named::Pf;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        call.device.state.rates.destroy(self.node.get())
    }
}

impl Handler for SetRate {
    fn handle(&self, call: &mut Call<'_>, rate: &mut Rate) -> Result<(), Status> {
        let (node, parent, target) = (self.node.get(), self.parent.get(), call.target);
        let rates = &mut call.device.state.rates;
        if node != RATE_ROOT {
            if !target.is_pf() {
                return Err(Status::INVALID_FUNCTION);
            }
            rates.set_node(node, parent, rate)?;
        } else if target.is_vf() || target.is_sf() {
            rates.set_leaf(target, parent, rate)?;
            call.device.setup_changed(call.host, target);
        } else {
            return Err(Status::INVALID_FUNCTION);
        }
        // Who waits may have its turn by now.
        call.host.schedule();
        Ok(())
    }
}

impl Handler for QueryRate {
    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, rate: &mut Rate) -> Result<QueryRateDone, Status> {
        let (node, target) = (self.node.get(), call.target);
        let rates = &call.device.state.rates;
        let (parent, found) = match node {
            RATE_ROOT if target.is_vf() || target.is_sf() => rates.leaf_rate(target),
            RATE_ROOT => return Err(Status::INVALID_FUNCTION),
            _ if !target.is_pf() => return Err(Status::INVALID_FUNCTION),
            _ => rates.node_rate(node)?,
        };
        *rate = found;
        Ok(QueryRateDone {
            parent: U16::new(parent),
            rsvd: [0; 2],
        })
    }
}
