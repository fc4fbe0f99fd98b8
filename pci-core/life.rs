// SPDX-License-Identifier: GPL-2.0

//! A bound device from one reset to the next: let go of before it, and taken back after it.

use ferrite_abi::{
    event::{
        FunctionChange,
        FunctionState, //
    },
    wire::U16, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};
use kernel_ext::devlink::{
    ExtAck,
    Locked, //
};

use crate::{
    adminq::AdminQueue,
    bar::Bar,
    board::Board,
    eventq,
    functions::Functions,
    logic::{
        failure::Loss,
        port::Registers, //
    },
    trap::Traps, //
};

/// What a reset concerns.
///
/// Its fields are dropped in this order: the event queue needs the admin queue.
pub(crate) struct Life {
    events: eventq::Enabled,
    functions: Option<Arc<Functions>>,
    traps: Option<Arc<Traps>>,
    board: Arc<Board>,
    admin: Arc<AdminQueue>,
    bar: Bar,
    /// Whether somebody is about to reset the device, or does. Written with the lock of the devlink instance held.
    resetting: Atomic<bool>,
}

impl Life {
    /// The device was just set up. `functions` are those that a PF provisions.
    pub(crate) fn new(
        bar: Bar,
        admin: Arc<AdminQueue>,
        board: Arc<Board>,
        functions: Option<Arc<Functions>>,
        traps: Option<Arc<Traps>>,
        events: eventq::Enabled,
    ) -> Result<Arc<Self>> {
        let life = Self {
            events,
            functions,
            traps,
            board,
            admin,
            bar,
            resetting: Atomic::new(false),
        };
        Ok(Arc::new(life, GFP_KERNEL)?)
    }

    /// Lets go of the device, which somebody is about to reset, such as `echo 1 >reset`. `announced` tells whether it
    /// ends VFs, whose drivers can still be asked to go.
    pub(crate) fn before_reset(
        &self,
        device: &Device<Bound>,
        announced: bool,
        locked: &Locked<'_>,
    ) {
        self.resetting.store(true, Relaxed);
        if let (true, Some(functions)) = (announced, &self.functions) {
            functions.before_reset(device, &self.board, locked);
        }
        self.admin.pause();
    }

    /// Takes the device back after its reset, and tells the clients: their queues are gone. A device that cannot be taken
    /// back is given up.
    pub(crate) fn after_reset(
        &self,
        device: &Device<Bound>,
        locked: &Locked<'_>,
    ) -> Result<(), Loss> {
        let taken = self.take_back(device, locked).inspect_err(|loss| {
            dev_err!(device, "the device is of no use after its reset\n");
            self.admin.lose(*loss);
        });
        self.resetting.store(false, Relaxed);
        taken
    }

    fn take_back(&self, device: &Device<Bound>, locked: &Locked<'_>) -> Result<(), Loss> {
        self.bar.settle().map_err(|_| Loss::Vanished)?;
        self.admin.start()?;
        // If it fails, that is in the log; the device can do without.
        let _ = self.events.renew();
        if let Some(functions) = &self.functions {
            functions.after_reset(device, &self.board, locked);
        }
        if let Some(traps) = &self.traps {
            traps.restore();
        }
        self.events.say(FunctionChange {
            state: U16::new(FunctionState::ACTIVE.0),
            ..FunctionChange::default()
        });
        Ok(())
    }

    /// Resets the device, which was given up, and takes it back.
    pub(crate) fn recover(
        &self,
        device: &Device<Bound>,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        if self.resetting.load(Relaxed) {
            extack.set(fmt!("a reset of the device is under way already"));
            return Err(EBUSY);
        }
        if !self.bar.alive() {
            extack.set(fmt!(
                "no reset of the function helps: its registers read as all ones"
            ));
            return Err(EIO);
        }
        dev_info!(device, "resetting the device to recover it\n");
        self.restart(device, locked, extack)?;
        dev_info!(device, "the device works again\n");
        Ok(())
    }

    /// Resets the device, and takes it back.
    pub(crate) fn restart(
        &self,
        device: &Device<Bound>,
        locked: &Locked<'_>,
        extack: &mut ExtAck<'_>,
    ) -> Result {
        // This reset leaves VFs alone, and so are their drivers: VFIO would wait for its user.
        self.before_reset(device, false, locked);
        // What it ends with is seen right after.
        let _ = self.bar.reset();
        self.after_reset(device, locked).map_err(|loss| {
            extack.set(fmt!("the device is not well after its reset: {loss}"));
            EIO
        })
    }
}
