// SPDX-License-Identifier: GPL-2.0

//! Health reporters of the device: `fw` tells of a firmware that answers wrongly or not at all, `fw_fatal` of a device that was
//! given up, which it mends.

use ferrite_abi::{
    cmd::{
        FaultKind,
        InjectFault,
        ANY_OPCODE, //
    },
    event::Syndrome,
    regs::{
        Features,
        Heartbeat,
        SyndromeCode,
        REGISTERS, //
    },
    wire::{
        U16,
        U32, //
    },
};
use ferrite_aux::CmdError;
use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*,
    str::CString,
    sync::Arc,
    time::Msecs, //
};
use kernel_ext::{
    devlink::{
        not_supported,
        ExtAck,
        HealthReporter,
        Locked,
        Message,
        Reporter, //
    },
    gate::Gate, //
};

use crate::{
    bar::Bar,
    board::Board,
    devlink::identify,
    life::Life,
    logic::{
        adminq::State,
        failure::{
            FailureKind,
            Failures,
            Loss, //
        },
        port::Registers, //
    },
    region::Regions,
};

/// A device that fails again so soon after its recovery is left alone.
const GRACE: Msecs = 60_000;
const NANOS_PER_MSEC: u64 = 1_000_000;

/// What both reporters look at.
struct View {
    board: Arc<Board>,
    bar: Bar,
}

impl View {
    /// Tells how the firmware does.
    fn diagnose(&self, message: &mut Message<'_>) -> Result {
        let (state, counters) = self
            .board
            .admin
            .inspect(|engine| (engine.state(), *engine.counters()));
        match state {
            State::Lost(loss) => message.text(c"state", fmt!("lost: {loss}"))?,
            state => message.text(c"state", fmt!("{state:?}"))?,
        }
        let syndrome = Syndrome(self.bar.read::<SyndromeCode>().code());
        message.text(c"syndrome", fmt!("{syndrome:?}"))?;
        message.number(c"heartbeat", self.bar.read::<Heartbeat>().count().into());
        message.object(c"admin_queue", |queue| {
            for (name, count) in counters.named() {
                queue.number(&CString::try_from_fmt(fmt!("{name}"))?, count);
            }
            Ok(())
        })
    }

    /// Writes down the registers, the admin queue and what went wrong on it.
    fn dump(&self, message: &mut Message<'_>) -> Result {
        self.diagnose(message)?;
        message.object(c"registers", |registers| {
            for register in REGISTERS {
                let name = CString::try_from_fmt(fmt!("{}", register.name))?;
                registers.text(&name, fmt!("{:#010x}", self.bar.raw(register)))?;
            }
            Ok(())
        })?;
        // The engine is not to be held while memory is allocated for the message.
        let failures = self.board.admin.inspect(|engine| engine.failures().clone());
        let now = self.board.admin.now();
        message.list(
            c"failures",
            failures.since(0),
            |entry, (number, failure)| {
                entry.number(c"number", number);
                entry.number(c"age_ms", now.saturating_sub(failure.at) / NANOS_PER_MSEC);
                entry.text(c"what", fmt!("{failure}"))
            },
        )
    }

    /// Has the device fail, which it does for tests only.
    fn inject(&self, kind: FaultKind, extack: &mut ExtAck<'_>) -> Result {
        if !self.board.features.contains(Features::FAULTS) {
            extack.set(fmt!(
                "the device fails on command only if it was made with faults=on"
            ));
            return Err(not_supported());
        }
        let fault = InjectFault {
            kind: U16::new(kind.0),
            opcode: U16::new(ANY_OPCODE),
            count: U32::new(1),
            ..InjectFault::default()
        };
        self.board
            .admin
            .send(self.board.own(), fault)
            .map_err(|error| {
                extack.set(fmt!("the device does not take the order to fail: {error}"));
                error.into()
            })
    }
}

/// The firmware answers wrongly or not at all.
struct Firmware(Arc<View>);

#[vtable]
impl Reporter for Firmware {
    const NAME: &'static CStr = c"fw";

    fn diagnose(
        &self,
        message: &mut Message<'_>,
        _locked: &Locked<'_>,
        _extack: &mut ExtAck<'_>,
    ) -> Result {
        self.0.diagnose(message)
    }

    fn dump(
        &self,
        message: &mut Message<'_>,
        _locked: &Locked<'_>,
        _extack: &mut ExtAck<'_>,
    ) -> Result {
        self.0.dump(message)
    }

    fn test(&self, _locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        self.0.inject(FaultKind::DUPLICATE_COMPLETION, extack)?;
        identify(&self.0.board.admin, self.0.board.own())?;
        Ok(())
    }
}

/// The device was given up.
struct Fatal {
    view: Arc<View>,
    regions: Regions,
    life: Gate<Life>,
}

#[vtable]
impl Reporter for Fatal {
    const NAME: &'static CStr = c"fw_fatal";
    const GRACE: Msecs = GRACE;

    fn recover(&self, locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        let life = self.life.enter().ok_or_else(|| {
            extack.set(fmt!("the driver is being unbound"));
            ENODEV
        })?;
        life.recover(life.device(), locked, extack)
    }

    fn dump(
        &self,
        message: &mut Message<'_>,
        locked: &Locked<'_>,
        _extack: &mut ExtAck<'_>,
    ) -> Result {
        // There may be as many as there can be already; the dump is of use without one.
        match self.regions.snapshot(locked) {
            Ok(id) => message.number(c"snapshot", id.into()),
            Err(error) => message.text(c"snapshot", fmt!("none: {error:?}"))?,
        }
        self.view.dump(message)
    }

    fn test(&self, _locked: &Locked<'_>, extack: &mut ExtAck<'_>) -> Result {
        self.view.inject(FaultKind::HANG, extack)?;
        // The next command is what the firmware hangs over: there is no answer to it.
        match identify(&self.view.board.admin, self.view.board.own()) {
            Err(CmdError::Gone | CmdError::Timeout) => Ok(()),
            Err(error) => Err(error.into()),
            Ok(_) => {
                extack.set(fmt!("the device was told to hang and did not"));
                Err(EIO)
            }
        }
    }
}

/// Both reporters, and what they have reported.
pub(crate) struct Reporters {
    firmware: HealthReporter,
    fatal: HealthReporter,
    view: Arc<View>,
    /// Failures that there had been when it was last looked.
    failures: u64,
    /// Answers that there had been when a failure was last reported.
    answered: Option<u64>,
    lost: bool,
}

impl Reporters {
    /// Adds them to the instance whose lock is held.
    pub(crate) fn new(
        device: &Device<Bound>,
        bar: Bar,
        board: Arc<Board>,
        life: Arc<Life>,
        locked: &Locked<'_>,
    ) -> Result<Self> {
        let view = Arc::new(View { board, bar }, GFP_KERNEL)?;
        let firmware = Arc::new(Firmware(view.clone()), GFP_KERNEL)?;
        let fatal = Fatal {
            regions: Regions::new(view.bar.clone(), view.board.clone(), locked)?,
            view: view.clone(),
            life: Gate::new(device, life)?,
        };
        Ok(Self {
            firmware: locked.add_reporter(firmware)?,
            fatal: locked.add_reporter(Arc::new(fatal, GFP_KERNEL)?)?,
            view,
            failures: 0,
            answered: None,
            lost: false,
        })
    }

    /// Reports what went wrong since the last time. Must not be called with the lock of the instance held.
    pub(crate) fn look(&mut self) {
        let (state, answered, failures) = self.view.board.admin.inspect(|engine| {
            (
                engine.state(),
                engine.counters().answered,
                engine.failures().clone(),
            )
        });
        self.look_at_failures(&failures, answered);
        match state {
            State::Lost(Loss::Unbound) => {}
            State::Lost(loss) if !self.lost => {
                self.lost = true;
                // Who waits for an event waits in vain.
                self.view.board.routes.look_anew();
                // What comes of it is in the state of the reporter, and in the log.
                let _ = self.fatal.report(fmt!("{loss}"));
            }
            State::Running if self.lost => {
                self.lost = false;
                self.fatal.healthy();
            }
            State::Lost(_) | State::Running | State::Stopped => {}
        }
    }

    /// Commands that were refused are no sign of bad health.
    fn look_at_failures(&mut self, failures: &Failures, answered: u64) {
        let last = failures
            .since(self.failures)
            .filter(|(_, failure)| !matches!(failure.kind, FailureKind::Refused(_)))
            .last();
        self.failures = failures.total();
        if let Some((_, failure)) = last {
            self.answered = Some(answered);
            let _ = self.firmware.report(fmt!("{failure}"));
        } else if self.answered.is_some_and(|before| before != answered) {
            self.answered = None;
            self.firmware.healthy();
        }
    }
}
