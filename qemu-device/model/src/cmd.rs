// SPDX-License-Identifier: GPL-2.0

//! Admin commands: one dispatcher that checks what all have in common, one handler each.

mod crash;
mod device;
mod dirty_log;
mod eswitch;
mod fault;
mod firmware;
mod function;
mod migration;
mod port;
mod queue;
mod rate;
mod steering;
mod trap;
mod virtio;

use ferrite_abi::admin::{
    Command,
    DataDirection,
    Opcode,
    Status,
    Submission,
    MAX_DATA,
    RESULT, //
};
use ferrite_abi::cmd::{
    FaultKind,
    FunctionCaps, //
};
use ferrite_abi::event::FunctionState;
use ferrite_abi::ids::FunctionId;
use ferrite_abi::regs::Features;
use ferrite_abi::wire::IntoBytes;
use ferrite_abi::with_commands;
use zerocopy::FromZeros;

use crate::device::Device;
use crate::faults::{
    Generator,
    Strike, //
};
use crate::function::Function;
use crate::host::{
    DmaFault,
    Host,
    PciFn, //
};
use crate::slot::Slot;

/// What a command is carried out with.
pub(crate) struct Call<'a> {
    pub(crate) device: &'a mut Device,
    pub(crate) host: &'a mut dyn Host,
    /// Who sent it.
    pub(crate) sender: PciFn,
    /// The function that it is about.
    pub(crate) target: Slot,
    /// Length of the data buffer.
    pub(crate) room: usize,
}

impl Call<'_> {
    /// Returns the function that the command is about.
    pub(crate) fn function(&mut self) -> Result<&mut Function, Status> {
        self.device
            .function_mut(self.target)
            .ok_or(Status::INVALID_FUNCTION)
    }

    /// Takes an opportunity for a fault to strike the command.
    pub(crate) fn strike(&mut self, kind: FaultKind, opcode: Opcode) -> Option<Strike> {
        self.device.strike_at(self.host, kind, opcode.0)
    }

    /// Checks a vector of the PCI function that the command is about.
    pub(crate) fn check_vector(&self, vector: u16) -> Result<(), Status> {
        if vector < self.device.vectors(self.target.pci()) {
            Ok(())
        } else {
            Err(Status::INVALID_FIELD)
        }
    }
}

/// What the function has to be that a command names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// Any that is there.
    Any,
    /// One that a driver uses, and that is no virtio-net device.
    Ethernet,
    /// One that a driver uses, and that can be a virtio-net device.
    VirtioCapable,
    /// One that a driver uses, and that is a virtio-net device.
    Virtio,
    /// The PF, since the command is about the device as a whole.
    Pf,
    /// A VF or SF.
    Provisioned,
    /// An SF.
    Sf,
    /// A VF that may be migrated.
    Migratable,
}

impl Named {
    /// Checks the function that was named.
    fn check(self, slot: Slot, function: &Function) -> Result<(), Status> {
        let fits = match self {
            Self::Any => true,
            Self::VirtioCapable | Self::Virtio if slot.is_representor() => false,
            Self::Ethernet | Self::VirtioCapable | Self::Virtio
                if function.state != FunctionState::IN_USE =>
            {
                return Err(Status::BAD_STATE);
            }
            Self::Ethernet if function.virtio.is_some() => return Err(Status::IN_USE),
            Self::Virtio if function.virtio.is_none() => return Err(Status::BAD_STATE),
            Self::Ethernet | Self::VirtioCapable | Self::Virtio => true,
            Self::Pf => slot.is_pf(),
            Self::Provisioned => slot.is_vf() || slot.is_sf(),
            Self::Sf => slot.is_sf(),
            Self::Migratable if slot.is_vf() => {
                let caps = function.provision.caps;
                if !caps.contains(FunctionCaps::MIGRATABLE) {
                    return Err(Status::NOT_PERMITTED);
                }
                true
            }
            Self::Migratable => false,
        };
        fits.then_some(()).ok_or(Status::INVALID_FUNCTION)
    }
}

/// How a command is carried out.
pub(crate) trait Handler: Command {
    /// Features without which the device refuses it.
    const NEEDS: Features = Features(0);

    /// What the function has to be that it names.
    const NAMES: Named = Named::Any;

    /// Whether it changes what a suspended function must keep, and what is saved of one as its set-up.
    const CHANGES: bool = false;

    /// Returns whether all reserved fields are zero.
    fn is_clean(&self) -> bool {
        true
    }

    /// Returns the least length of the data buffer.
    fn least_data(&self) -> usize {
        size_of::<Self::Data>()
    }

    /// Carries it out. `data` is what the driver sent, or zero, and what it will be given.
    fn handle(&self, call: &mut Call<'_>, data: &mut Self::Data) -> Result<Self::Done, Status>;
}

macro_rules! dispatch {
    ($opcode:expr, $call:expr, $submission:expr, $garbage:expr; $($name:ident),* $(,)?) => {
        match $opcode {
            $(
                <ferrite_abi::cmd::$name as Command>::OPCODE => {
                    run::<ferrite_abi::cmd::$name>($call, $submission, $garbage)
                }
            )*
            _ => Err(Status::UNKNOWN_OPCODE),
        }
    };
}

/// Carries out a command. `garbage` is the seed of what it is answered with instead of the truth.
pub(crate) fn carry_out(
    device: &mut Device,
    host: &mut dyn Host,
    sender: PciFn,
    submission: &Submission,
    garbage: Option<u32>,
) -> (Status, [u8; RESULT]) {
    // The sender is checked with each command; until then it stands for the function, too.
    let mut call = Call {
        device,
        host,
        sender,
        target: Slot::PF,
        room: 0,
    };
    let opcode = Opcode(submission.opcode.get());
    let result = with_commands!(dispatch! opcode, &mut call, submission, garbage;);
    match result {
        Ok(result) => (Status::OK, result),
        Err(status) => (status, [0; RESULT]),
    }
}

/// Checks and carries out a command whose type is known.
fn run<C: Handler>(
    call: &mut Call<'_>,
    submission: &Submission,
    garbage: Option<u32>,
) -> Result<[u8; RESULT], Status> {
    call.target = target(call, submission)?;
    if C::PF_ONLY && call.sender != PciFn::PF {
        return Err(Status::NOT_PERMITTED);
    }
    if !call.device.config.features(call.sender).contains(C::NEEDS) {
        return Err(Status::NOT_SUPPORTED);
    }
    let command = submission
        .command::<C>()
        .filter(C::is_clean)
        .ok_or(Status::INVALID_FIELD)?;
    C::NAMES.check(call.target, call.function()?)?;
    if C::CHANGES && !call.device.may_initiate(call.target) {
        return Err(Status::BAD_STATE);
    }
    let mut data = C::Data::new_zeroed();
    let (addr, length) = (submission.data_addr.get(), submission.data_len.get());
    call.room = length as usize;
    match C::DATA {
        DataDirection::None if addr != 0 || length != 0 => return Err(Status::INVALID_FIELD),
        DataDirection::None => {}
        _ if length > MAX_DATA => return Err(Status::INVALID_FIELD),
        _ if (length as usize) < command.least_data() => return Err(Status::SHORT_BUFFER),
        _ if length != 0 && addr == 0 => return Err(Status::SHORT_BUFFER),
        DataDirection::ToDevice if length > 0 => {
            let length = (length as usize).min(size_of::<C::Data>());
            call.device
                .bus(call.host, call.sender)
                .read(addr, &mut data.as_mut_bytes()[..length])
                .map_err(|DmaFault| Status::DMA_FAULT)?;
        }
        DataDirection::ToDevice | DataDirection::FromDevice => {}
    }
    let done = command.handle(call, &mut data)?;
    if C::CHANGES {
        call.device.setup_changed(call.host, call.target);
    }
    let mut result = [0; RESULT];
    result[..size_of::<C::Done>()].copy_from_slice(done.as_bytes());
    let mut generator = garbage.map(Generator::seeded);
    if let Some(generator) = &mut generator {
        generator.fill(&mut result);
        generator.fill(data.as_mut_bytes());
    }
    if C::DATA == DataDirection::FromDevice {
        call.device
            .bus(call.host, call.sender)
            .write(
                addr,
                &data.as_bytes()[..size_of::<C::Data>().min(length as usize)],
            )
            .map_err(|DmaFault| Status::DMA_FAULT)?;
    }
    Ok(result)
}

/// Finds the function that a command is about: the PF may name any, others only themselves.
fn target(call: &Call<'_>, submission: &Submission) -> Result<Slot, Status> {
    let id = FunctionId(submission.function.get());
    let sender = Slot::of_pci(call.sender).ok_or(Status::INVALID_FUNCTION)?;
    let target = if call.sender == PciFn::PF {
        Slot::of(id).ok_or(Status::INVALID_FUNCTION)?
    } else if id == sender.id() || id == call.device.known_as(call.sender) {
        sender
    } else {
        return Err(Status::NOT_PERMITTED);
    };
    call.device
        .function(target)
        .map(|_| target)
        .ok_or(Status::INVALID_FUNCTION)
}

/// Returns whether all bytes are zero.
fn zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}
