// SPDX-License-Identifier: GPL-2.0

//! The admin queue: submission and completion entries, status codes, the [`Command`] trait.

use crate::ids::FunctionId;
use crate::ring::{
    Depth,
    Index, //
};
use crate::wire::*;

/// Logarithms of the depths that the admin queue can have.
pub const ADMIN_DEPTH_LOG2: core::ops::RangeInclusive<u8> = 4..=8;

/// Size of the parameters in a [`Submission`] in bytes.
pub const PARAMS: usize = 40;
/// Size of the result in a [`Completion`] in bytes.
pub const RESULT: usize = 20;
/// Largest data buffer of a command in bytes: one page, so that it is one piece of memory.
pub const MAX_DATA: u32 = 4096;

/// Entry of the admin submission ring.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Submission {
    /// [`Opcode`].
    pub opcode: U16,
    /// Chosen by the driver, returned in the completion; the device gives it no meaning.
    pub tag: U16,
    /// [`FunctionId`] that the command is about: the PF may name any function, others themselves.
    pub function: U16,
    /// Reserved.
    pub rsvd: [u8; 2],
    /// Bus address of the data buffer, 0 if the command has none.
    pub data_addr: U64,
    /// Length of the data buffer in bytes: what is sent, or what there is room for.
    pub data_len: U32,
    /// Reserved.
    pub rsvd2: [u8; 4],
    /// The command's parameters, padded with zeros.
    pub params: [u8; PARAMS],
}
layout!(Submission: 64 {
    opcode @ 0, tag @ 2, function @ 4, rsvd @ 6, data_addr @ 8, data_len @ 16, rsvd2 @ 20,
    params @ 24,
});

impl Submission {
    /// Returns the entry for `command`, without data buffer.
    pub fn new<C: Command>(tag: u16, function: FunctionId, command: C) -> Self {
        const { assert!(size_of::<C>() <= PARAMS) };
        let mut entry = Self {
            opcode: U16::new(C::OPCODE.0),
            tag: U16::new(tag),
            function: U16::new(function.0),
            rsvd: [0; 2],
            data_addr: U64::new(0),
            data_len: U32::new(0),
            rsvd2: [0; 4],
            params: [0; PARAMS],
        };
        entry.params[..size_of::<C>()].copy_from_slice(command.as_bytes());
        entry
    }

    /// Returns the parameters as those of `C`, or [`None`] if bytes beyond them, or reserved ones
    /// of the header, are not zero.
    pub fn command<C: Command>(&self) -> Option<C> {
        let (command, rest) = C::read_from_prefix(&self.params).ok()?;
        let zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
        (zero(rest) && zero(&self.rsvd) && zero(&self.rsvd2)).then_some(command)
    }
}

/// Entry of the admin completion ring. The device writes `meta` last.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Completion {
    /// Tag of the command.
    pub tag: U16,
    /// Opcode of the command.
    pub opcode: U16,
    /// [`Status`].
    pub status: U16,
    /// Low half of the index up to which the device has read the submission ring.
    pub sq_head: U16,
    /// The command's result, padded with zeros.
    pub result: [u8; RESULT],
    /// Bit 0 is the phase bit, the others are reserved.
    pub meta: U32,
}
layout!(Completion: 32 { tag @ 0, opcode @ 2, status @ 4, sq_head @ 6, result @ 8, meta @ 28 });

impl Completion {
    /// Returns the completion of `submission` without result; `index` is where it is put.
    pub fn new(submission: &Submission, status: Status, depth: Depth, index: Index) -> Self {
        Self {
            tag: submission.tag,
            opcode: submission.opcode,
            status: U16::new(status.0),
            meta: U32::new(u32::from(depth.phase(index))),
            ..Self::default()
        }
    }

    /// Returns whether the entry belongs to the pass over the ring that `index` is in.
    pub fn is_new(&self, depth: Depth, index: Index) -> bool {
        (self.meta.get() & 1 == 1) == depth.phase(index)
    }

    /// Returns the result as that of `C`.
    pub fn done<C: Command>(&self) -> C::Done {
        const { assert!(size_of::<C::Done>() <= RESULT) };
        // PANIC: the result is at least as long as `C::Done`, by the assertion above.
        C::Done::read_from_prefix(&self.result)
            .expect("shorter than the result")
            .0
    }

    /// Stores `done`, the result of `C`.
    #[must_use]
    pub fn with_done<C: Command>(mut self, done: C::Done) -> Self {
        const { assert!(size_of::<C::Done>() <= RESULT) };
        self.result[..size_of::<C::Done>()].copy_from_slice(done.as_bytes());
        self
    }
}

codes! {
    /// How a command ended.
    pub struct Status(u16) {
        /// Done.
        OK = 0;
        /// The device does not know the opcode.
        UNKNOWN_OPCODE = 1;
        /// A parameter is out of range, or a reserved field is not zero.
        INVALID_FIELD = 2;
        /// There is no such function.
        INVALID_FUNCTION = 3;
        /// The sender may not do this, or not to this function.
        NOT_PERMITTED = 4;
        /// The device has no more of what the command asks for.
        NO_RESOURCE = 5;
        /// The function or queue is in a state in which this cannot be done.
        BAD_STATE = 6;
        /// The index or resource is taken.
        IN_USE = 7;
        /// The data buffer, or memory named by a parameter, could not be read or written.
        DMA_FAULT = 8;
        /// The device knows the command but was set up without the feature.
        NOT_SUPPORTED = 9;
        /// The data buffer is too small, or missing.
        SHORT_BUFFER = 10;
        /// The firmware failed.
        INTERNAL = 11;
    }
}

codes! {
    /// What a command does. The high byte groups them: 00 device, 01 queues, 02 port, 03 functions,
    /// 04 embedded switch, 05 virtio, 06 migration, 07 health, firmware and faults.
    pub struct Opcode(u16) {
        /// [`crate::cmd::Echo`]
        ECHO = 0x0000;
        /// [`crate::cmd::Identify`]
        IDENTIFY = 0x0001;
        /// [`crate::cmd::QueryFunction`]
        QUERY_FUNCTION = 0x0002;
        /// [`crate::cmd::CreateEventQueue`]
        CREATE_EVENT_QUEUE = 0x0003;
        /// [`crate::cmd::DestroyEventQueue`]
        DESTROY_EVENT_QUEUE = 0x0004;
        /// [`crate::cmd::QueryClock`]
        QUERY_CLOCK = 0x0005;
        /// [`crate::cmd::CopyMemory`]
        COPY_MEMORY = 0x0006;
        /// [`crate::cmd::CreateQueue`]
        CREATE_QUEUE = 0x0100;
        /// [`crate::cmd::DestroyQueue`]
        DESTROY_QUEUE = 0x0101;
        /// [`crate::cmd::QueryQueue`]
        QUERY_QUEUE = 0x0102;
        /// [`crate::cmd::ModifyQueue`]
        MODIFY_QUEUE = 0x0103;
        /// [`crate::cmd::QueryLink`]
        QUERY_LINK = 0x0200;
        /// [`crate::cmd::EnablePort`]
        ENABLE_PORT = 0x0201;
        /// [`crate::cmd::SetMac`]
        SET_MAC = 0x0202;
        /// [`crate::cmd::SetMtu`]
        SET_MTU = 0x0203;
        /// [`crate::cmd::SetRxMode`]
        SET_RX_MODE = 0x0204;
        /// [`crate::cmd::QueryStats`]
        QUERY_STATS = 0x0205;
        /// [`crate::cmd::SetRss`]
        SET_RSS = 0x0206;
        /// [`crate::cmd::RemoveRss`]
        REMOVE_RSS = 0x0207;
        /// [`crate::cmd::SetFilter`]
        SET_FILTER = 0x0208;
        /// [`crate::cmd::RemoveFilter`]
        REMOVE_FILTER = 0x0209;
        /// [`crate::cmd::QuerySteering`]
        QUERY_STEERING = 0x020a;
        /// [`crate::cmd::QueryFrames`]
        QUERY_FRAMES = 0x020b;
        /// [`crate::cmd::SetLoopback`]
        SET_LOOPBACK = 0x020c;
        /// [`crate::cmd::CreateSf`]
        CREATE_SF = 0x0300;
        /// [`crate::cmd::DestroySf`]
        DESTROY_SF = 0x0301;
        /// [`crate::cmd::ConfigureFunction`]
        CONFIGURE_FUNCTION = 0x0302;
        /// [`crate::cmd::QueryFunctionConfig`]
        QUERY_FUNCTION_CONFIG = 0x0303;
        /// [`crate::cmd::SetFunctionState`]
        SET_FUNCTION_STATE = 0x0304;
        /// [`crate::cmd::AttachFunction`]
        ATTACH_FUNCTION = 0x0305;
        /// [`crate::cmd::SetVfPolicy`]
        SET_VF_POLICY = 0x0306;
        /// [`crate::cmd::SetEswitchMode`]
        SET_ESWITCH_MODE = 0x0400;
        /// [`crate::cmd::QueryEswitch`]
        QUERY_ESWITCH = 0x0401;
        /// [`crate::cmd::AddRule`]
        ADD_RULE = 0x0402;
        /// [`crate::cmd::RemoveRule`]
        REMOVE_RULE = 0x0403;
        /// [`crate::cmd::QueryRule`]
        QUERY_RULE = 0x0404;
        /// [`crate::cmd::CreateRateNode`]
        CREATE_RATE_NODE = 0x0405;
        /// [`crate::cmd::DestroyRateNode`]
        DESTROY_RATE_NODE = 0x0406;
        /// [`crate::cmd::SetRate`]
        SET_RATE = 0x0407;
        /// [`crate::cmd::QueryRate`]
        QUERY_RATE = 0x0408;
        /// [`crate::cmd::QueryVirtio`]
        QUERY_VIRTIO = 0x0500;
        /// [`crate::cmd::CreateVirtio`]
        CREATE_VIRTIO = 0x0501;
        /// [`crate::cmd::DestroyVirtio`]
        DESTROY_VIRTIO = 0x0502;
        /// [`crate::cmd::ModifyVirtio`]
        MODIFY_VIRTIO = 0x0503;
        /// [`crate::cmd::QueryVirtioState`]
        QUERY_VIRTIO_STATE = 0x0504;
        /// [`crate::cmd::SetVirtioFeatures`]
        SET_VIRTIO_FEATURES = 0x0505;
        /// [`crate::cmd::SetVirtioStatus`]
        SET_VIRTIO_STATUS = 0x0506;
        /// [`crate::cmd::ReadVirtioConfig`]
        READ_VIRTIO_CONFIG = 0x0507;
        /// [`crate::cmd::EnableVirtqueue`]
        ENABLE_VIRTQUEUE = 0x0508;
        /// [`crate::cmd::DisableVirtqueue`]
        DISABLE_VIRTQUEUE = 0x0509;
        /// [`crate::cmd::QueryVirtqueue`]
        QUERY_VIRTQUEUE = 0x050a;
        /// [`crate::cmd::SetVirtqueueVector`]
        SET_VIRTQUEUE_VECTOR = 0x050b;
        /// [`crate::cmd::QueryVirtqueueStats`]
        QUERY_VIRTQUEUE_STATS = 0x050c;
        /// [`crate::cmd::SetVirtioGroup`]
        SET_VIRTIO_GROUP = 0x050d;
        /// [`crate::cmd::MapVirtio`]
        MAP_VIRTIO = 0x050e;
        /// [`crate::cmd::UnmapVirtio`]
        UNMAP_VIRTIO = 0x050f;
        /// [`crate::cmd::SwitchVirtioMap`]
        SWITCH_VIRTIO_MAP = 0x0510;
        /// [`crate::cmd::SuspendVirtio`]
        SUSPEND_VIRTIO = 0x0511;
        /// [`crate::cmd::QueryMigration`]
        QUERY_MIGRATION = 0x0600;
        /// [`crate::cmd::SuspendFunction`]
        SUSPEND_FUNCTION = 0x0601;
        /// [`crate::cmd::ResumeFunction`]
        RESUME_FUNCTION = 0x0602;
        /// [`crate::cmd::BeginSave`]
        BEGIN_SAVE = 0x0603;
        /// [`crate::cmd::ReadSave`]
        READ_SAVE = 0x0604;
        /// [`crate::cmd::QuerySave`]
        QUERY_SAVE = 0x0605;
        /// [`crate::cmd::EndSave`]
        END_SAVE = 0x0606;
        /// [`crate::cmd::BeginLoad`]
        BEGIN_LOAD = 0x0607;
        /// [`crate::cmd::WriteLoad`]
        WRITE_LOAD = 0x0608;
        /// [`crate::cmd::EndLoad`]
        END_LOAD = 0x0609;
        /// [`crate::cmd::StartDirtyLog`]
        START_DIRTY_LOG = 0x060a;
        /// [`crate::cmd::ReadDirtyLog`]
        READ_DIRTY_LOG = 0x060b;
        /// [`crate::cmd::StopDirtyLog`]
        STOP_DIRTY_LOG = 0x060c;
        /// [`crate::cmd::InjectFault`]
        INJECT_FAULT = 0x0700;
        /// [`crate::cmd::ClearFaults`]
        CLEAR_FAULTS = 0x0701;
        /// [`crate::cmd::QueryFirmware`]
        QUERY_FIRMWARE = 0x0702;
        /// [`crate::cmd::BeginFlash`]
        BEGIN_FLASH = 0x0703;
        /// [`crate::cmd::WriteFlash`]
        WRITE_FLASH = 0x0704;
        /// [`crate::cmd::EndFlash`]
        END_FLASH = 0x0705;
        /// [`crate::cmd::ActivateFirmware`]
        ACTIVATE_FIRMWARE = 0x0706;
        /// [`crate::cmd::TestFlash`]
        TEST_FLASH = 0x0707;
        /// [`crate::cmd::SetTrap`]
        SET_TRAP = 0x0708;
        /// [`crate::cmd::SetTrapPolicer`]
        SET_TRAP_POLICER = 0x0709;
        /// [`crate::cmd::QueryTraps`]
        QUERY_TRAPS = 0x070a;
        /// [`crate::cmd::ReadTrapped`]
        READ_TRAPPED = 0x070b;
        /// [`crate::cmd::ReadCrash`]
        READ_CRASH = 0x070c;
    }
}

/// Which way a command's data buffer is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataDirection {
    /// The command has no data buffer.
    None,
    /// The device reads it.
    ToDevice,
    /// The device writes it.
    FromDevice,
}

/// Parameters of an admin command; what it is answered with belongs to it.
pub trait Command: Wire {
    /// Its opcode.
    const OPCODE: Opcode;
    /// Its result, `()` if there is none but the status.
    type Done: Wire;
    /// What its data buffer holds; `[u8; 0]` if it has none.
    type Data: Wire;
    /// Which way its data buffer is carried.
    const DATA: DataDirection;
    /// Whether only the PF may send it.
    const PF_ONLY: bool;
}

/// What the table of commands says of one of them.
#[derive(Clone, Copy, Debug)]
pub struct CommandInfo {
    /// Name of the type of its parameters.
    pub name: &'static str,
    /// Its opcode.
    pub opcode: Opcode,
    /// Sizes in bytes of its parameters, its result and its data buffer.
    pub sizes: (usize, usize, usize),
    /// Which way its data buffer is carried.
    pub data: DataDirection,
    /// Whether only the PF may send it.
    pub pf_only: bool,
}

impl CommandInfo {
    /// Returns the row of `C`.
    pub const fn of<C: Command>(name: &'static str) -> Self {
        Self {
            name,
            opcode: C::OPCODE,
            sizes: (size_of::<C>(), size_of::<C::Done>(), size_of::<C::Data>()),
            data: C::DATA,
            pf_only: C::PF_ONLY,
        }
    }
}
