// SPDX-License-Identifier: GPL-2.0

//! The health reporter `vnic` of a port: what the device counted of the function behind it.

use ferrite_abi::cmd::{
    PortStats,
    QueryStats, //
};
use ferrite_aux::CmdError;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*,
    str::CString,
    sync::Arc, //
};
use kernel_ext::{
    devlink::{
        ExtAck,
        HealthReporter,
        Locked,
        Message,
        Port,
        Reporter, //
    },
    gate::Gate, //
};

use crate::{
    board::Board,
    port::FunctionPort, //
};

/// Which function it is about.
enum Vnic {
    /// The one that the PCI function is itself.
    Own(Gate<Board>),
    /// One that a PF provisions.
    Provisioned(Arc<FunctionPort>),
}

impl Vnic {
    fn stats(&self) -> Result<PortStats, CmdError> {
        let mut stats = PortStats::default();
        let (gate, function) = match self {
            Self::Own(gate) => (gate, None),
            Self::Provisioned(port) => (port.functions().board(), Some(port.id())),
        };
        let board = gate.enter().ok_or(CmdError::Gone)?;
        let function = function.unwrap_or(board.own());
        board.admin.fetch(function, QueryStats {}, &mut stats)?;
        Ok(stats)
    }
}

#[vtable]
impl Reporter for Vnic {
    const NAME: &'static CStr = c"vnic";

    fn diagnose(
        &self,
        message: &mut Message<'_>,
        _locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        let stats = self.stats().map_err(|error| {
            extack.set(fmt!("the device does not tell its counters: {error}"));
            Error::from(error)
        })?;
        for (name, count) in PortStats::NAMES.iter().zip(stats.values()) {
            message.number(&CString::try_from_fmt(fmt!("{name}"))?, count);
        }
        Ok(())
    }
}

/// Adds the reporter to the port of the PCI function itself. It is to be dropped before the port.
pub(crate) fn of_own(
    device: &Device<Bound>,
    board: Arc<Board>,
    port: &Arc<Port>,
    locked: &Locked<'_>,
) -> Result<HealthReporter> {
    let vnic = Vnic::Own(Gate::new(device, board)?);
    locked.add_port_reporter(port, Arc::new(vnic, GFP_KERNEL)?)
}

/// Adds the reporter to a port of a function that a PF provisions, be it the one of the switch or the function's own. It is
/// to be dropped before the port.
pub(crate) fn of_provisioned(
    function: Arc<FunctionPort>,
    port: &Arc<Port>,
    locked: &Locked<'_>,
) -> Result<HealthReporter> {
    let vnic = Vnic::Provisioned(function);
    locked.add_port_reporter(port, Arc::new(vnic, GFP_KERNEL)?)
}
