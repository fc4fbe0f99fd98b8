// SPDX-License-Identifier: GPL-2.0

//! Handlers of the commands about packets that are dropped.

use ferrite_abi::admin::Status;
use ferrite_abi::cmd::{
    QueryTraps,
    ReadTrapped,
    ReadTrappedDone,
    SetTrap,
    SetTrapPolicer,
    TrapAction,
    TrapStats,
    TrappedPacket, //
};
use ferrite_abi::regs::Features;
use ferrite_abi::wire::{
    U16,
    U64, //
};

use super::{
    zero,
    Call,
    Handler,
    Named, //
};

impl Handler for SetTrap {
    const NEEDS: Features = Features::TRAPS;
    const NAMES: Named = Named::Pf;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let traps = match TrapAction(self.action.get()) {
            TrapAction::DROP => false,
            TrapAction::TRAP => true,
            _ => return Err(Status::INVALID_FIELD),
        };
        let all = &mut call.device.state.traps;
        all.set(self.cause.get(), traps, self.policer.get())
            .then_some(())
            .ok_or(Status::INVALID_FIELD)
    }
}

impl Handler for SetTrapPolicer {
    const NEEDS: Features = Features::TRAPS;
    const NAMES: Named = Named::Pf;

    fn is_clean(&self) -> bool {
        zero(&self.rsvd)
    }

    fn handle(&self, call: &mut Call<'_>, _: &mut [u8; 0]) -> Result<(), Status> {
        let (rate, burst) = (self.rate.get(), self.burst.get());
        let now = call.host.now_ns();
        let all = &mut call.device.state.traps;
        all.police(self.policer.get(), rate, burst, now)
            .then_some(())
            .ok_or(Status::INVALID_FIELD)
    }
}

impl Handler for QueryTraps {
    const NEEDS: Features = Features::TRAPS;
    const NAMES: Named = Named::Pf;

    fn handle(&self, call: &mut Call<'_>, data: &mut TrapStats) -> Result<(), Status> {
        let (dropped, policed) = call.device.state.traps.counters();
        for (to, from) in data.dropped.iter_mut().zip(dropped) {
            *to = U64::new(from);
        }
        for (to, from) in data.policed.iter_mut().zip(policed) {
            *to = U64::new(from);
        }
        Ok(())
    }
}

impl Handler for ReadTrapped {
    const NEEDS: Features = Features::TRAPS;
    const NAMES: Named = Named::Pf;

    fn least_data(&self) -> usize {
        1
    }

    fn handle(
        &self,
        call: &mut Call<'_>,
        data: &mut TrappedPacket,
    ) -> Result<ReadTrappedDone, Status> {
        let (packet, left) = call.device.state.traps.take().ok_or(Status::BAD_STATE)?;
        // No more bytes than a packet that is kept has.
        data.bytes[..packet.bytes.len()].copy_from_slice(&packet.bytes);
        Ok(ReadTrappedDone {
            cause: U16::new(packet.cause),
            port: U16::new(packet.port),
            length: U16::new(packet.length),
            left: U16::new(left),
        })
    }
}
