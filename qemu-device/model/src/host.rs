// SPDX-License-Identifier: GPL-2.0

//! What the device needs from the machine it is plugged into.

use std::fmt;

/// A PCI function of the device: 0 is the PF, `1 + i` is VF `i`. SFs and representors do
/// DMA and raise interrupts as the PF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciFn(pub u16);

impl PciFn {
    /// The physical function.
    pub const PF: Self = Self(0);

    /// Returns the PCI function of VF `index`.
    pub const fn vf(index: u16) -> Self {
        Self(1 + index)
    }

    /// Returns the index of the VF, or [`None`] for the PF.
    pub const fn vf_index(self) -> Option<u16> {
        self.0.checked_sub(1)
    }
}

/// An access of the device to memory failed: no memory there, or the IOMMU did not let it through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaFault;

impl fmt::Display for DmaFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory could not be accessed")
    }
}

impl std::error::Error for DmaFault {}

/// How bad an error is that a PCI function reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BusError {
    /// The hardware mended it.
    Correctable = 0,
    /// Something was lost, and the link is well.
    NonFatal = 1,
    /// The link has to be reset.
    Fatal = 2,
}

impl BusError {
    /// Returns what the parameter of a [`BUS_ERROR`](ferrite_abi::cmd::FaultKind::BUS_ERROR) means.
    pub(crate) fn of(param: u32) -> Self {
        match param {
            0 => Self::Correctable,
            1 => Self::NonFatal,
            _ => Self::Fatal,
        }
    }
}

/// The machine: memory, interrupts, the uplink, time.
///
/// No method may call into the [`Device`](crate::Device) that it serves. A frame that a network
/// backend answers to within [`Self::uplink_send`], an ARP reply for example, has to wait until
/// the device's method has returned.
pub trait Host {
    /// Reads memory, bytes in no particular order.
    fn dma_read(&mut self, function: PciFn, addr: u64, buf: &mut [u8]) -> Result<(), DmaFault>;

    /// Writes memory, bytes in no particular order.
    fn dma_write(&mut self, function: PciFn, addr: u64, buf: &[u8]) -> Result<(), DmaFault>;

    /// Reads an aligned little-endian word in one access. Later reads see what was written before
    /// the word that is returned was (acquire).
    fn dma_load32(&mut self, function: PciFn, addr: u64) -> Result<u32, DmaFault>;

    /// Writes an aligned little-endian word in one access, after all earlier writes (release) and
    /// before all later reads (a full fence follows).
    fn dma_store32(&mut self, function: PciFn, addr: u64, value: u32) -> Result<(), DmaFault>;

    /// Raises an MSI-X vector. The host keeps it pending or drops it when masked, off or out of
    /// range, as the PCI specification says.
    fn raise(&mut self, function: PciFn, vector: u16);

    /// Returns whether an MSI-X vector was raised and is pending, as it is masked.
    fn is_pending(&self, function: PciFn, vector: u16) -> bool;

    /// Reports an error of a PCI function to the bus, as Advanced Error Reporting has it.
    fn report_error(&mut self, function: PciFn, error: BusError);

    /// Sends a frame through the uplink.
    fn uplink_send(&mut self, frame: &[u8]);

    /// Tells that the uplink has room again, after [`Received::Full`](crate::Received::Full).
    fn uplink_ready(&mut self);

    /// Returns the time of the machine in nanoseconds. It does not run backwards.
    fn now_ns(&self) -> u64;

    /// Asks for a call of [`Device::timer`](crate::Device::timer) at this time, replacing what was
    /// asked before; `None` asks for none.
    fn set_timer(&mut self, at_ns: Option<u64>);

    /// Asks for a call of [`Device::run`](crate::Device::run) soon, from the main loop.
    fn schedule(&mut self);

    /// Gives a VF another number of MSI-X vectors: the size of the table that its capability tells.
    fn set_vectors(&mut self, function: PciFn, vectors: u16);

    /// Takes note of what happened. Not called for each packet.
    fn trace(&mut self, event: &Trace);
}

/// Something worth recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// A function was reset.
    Reset {
        /// Which PCI function.
        function: PciFn,
    },
    /// The admin queue of a PCI function was turned on or off.
    AdminQueue {
        /// Whose.
        function: PciFn,
        /// Whether it runs now.
        enabled: bool,
        /// [`AdminError`](ferrite_abi::regs::AdminError).
        error: u8,
    },
    /// An admin command was carried out.
    Command {
        /// Who sent it.
        function: PciFn,
        /// Its opcode.
        opcode: u16,
        /// Its tag.
        tag: u16,
        /// [`Status`](ferrite_abi::admin::Status).
        status: u16,
    },
    /// An event was written, or dropped because there was no room.
    Event {
        /// Who was told.
        function: PciFn,
        /// [`EventKind`](ferrite_abi::event::EventKind).
        kind: u16,
        /// Number of the event.
        sequence: u32,
        /// Whether it was written.
        written: bool,
    },
    /// A TX or RX queue was created.
    QueueCreated {
        /// [`FunctionId`](ferrite_abi::ids::FunctionId) of the owner.
        function: u16,
        /// [`QueueKind`](ferrite_abi::cmd::QueueKind).
        kind: u16,
        /// Index of the queue.
        index: u16,
        /// Number of entries.
        entries: u32,
    },
    /// A TX or RX queue is no more.
    QueueDestroyed {
        /// [`FunctionId`](ferrite_abi::ids::FunctionId) of the owner.
        function: u16,
        /// [`QueueKind`](ferrite_abi::cmd::QueueKind).
        kind: u16,
        /// Index of the queue.
        index: u16,
    },
    /// A TX or RX queue stopped after an error.
    QueueStopped {
        /// [`FunctionId`](ferrite_abi::ids::FunctionId) of the owner.
        function: u16,
        /// [`QueueKind`](ferrite_abi::cmd::QueueKind).
        kind: u16,
        /// Index of the queue.
        index: u16,
        /// [`QueueSyndrome`](ferrite_abi::event::QueueSyndrome).
        syndrome: u16,
    },
    /// Completions of a queue were published.
    Completions {
        /// [`FunctionId`](ferrite_abi::ids::FunctionId) of the owner.
        function: u16,
        /// [`QueueKind`](ferrite_abi::cmd::QueueKind).
        kind: u16,
        /// Index of the queue.
        index: u16,
        /// The new `cq_tail`.
        cq_tail: u32,
    },
    /// An interrupt was raised.
    Interrupt {
        /// Whose.
        function: PciFn,
        /// MSI-X vector.
        vector: u16,
    },
    /// An injected fault took effect.
    Fault {
        /// [`FaultKind`](ferrite_abi::cmd::FaultKind).
        kind: u16,
        /// Its parameter.
        param: u32,
    },
    /// The number of VFs changed.
    Vfs {
        /// The new number.
        count: u16,
    },
    /// The link of the uplink changed.
    Uplink {
        /// Whether it is up.
        up: bool,
    },
    /// A function changed its state.
    Function {
        /// [`FunctionId`](ferrite_abi::ids::FunctionId).
        function: u16,
        /// [`FunctionState`](ferrite_abi::event::FunctionState).
        state: u16,
    },
    /// A function was suspended or resumed.
    Suspended {
        /// Which PCI function.
        function: PciFn,
        /// [`SuspendLevel`](ferrite_abi::cmd::SuspendLevel) that it is at now.
        level: u16,
    },
    /// A stream took the place of a function's state, or was refused.
    Loaded {
        /// Which PCI function.
        function: PciFn,
        /// [`StreamFault`](ferrite_abi::mig::StreamFault).
        fault: u16,
        /// [`StreamTag`](ferrite_abi::mig::StreamTag) of the record at fault.
        tag: u16,
    },
    /// The driver did something that it must not.
    GuestError {
        /// Which PCI function's driver.
        function: PciFn,
        /// What it did.
        error: GuestError,
        /// The value that was wrong.
        value: u64,
    },
}

/// Mistakes of a driver that no status reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum GuestError {
    /// A register was accessed with another width than 32 bits, or unaligned. The value is the
    /// offset.
    RegisterAccess = 1,
    /// A read-only register, or an offset without register, was written. The value is the offset.
    ReadOnlyRegister = 2,
    /// A register of the admin queue was written while the queue runs. The value is the offset.
    AdminRunning = 3,
    /// The admin queue was turned on with a bad depth or base. The value is the register
    /// `AdminSize`.
    AdminSetup = 4,
    /// The tail of the admin queue is too far ahead. The value is the tail.
    AdminTail = 5,
    /// The head of the admin completion ring is ahead of what was written. The value is the head.
    AdminHead = 6,
    /// An admin ring could not be accessed. The value is the address.
    AdminDma = 7,
    /// The head of the event queue is ahead of what was written. The value is the head.
    EventHead = 8,
    /// The event queue could not be written and was given up. The value is the address.
    EventDma = 9,
}

impl Trace {
    /// Names of the kinds, in the order of [`Self::words`].
    pub const KINDS: &'static [&'static str] = &[
        "reset",
        "admin_queue",
        "command",
        "event",
        "queue_created",
        "queue_destroyed",
        "queue_stopped",
        "completions",
        "interrupt",
        "fault",
        "vfs",
        "uplink",
        "function",
        "suspended",
        "loaded",
        "guest_error",
    ];

    /// Returns the index into [`Self::KINDS`] and the fields in their order, zero where there are
    /// fewer, for hosts that are not written in Rust.
    pub fn words(&self) -> (u32, [u64; 4]) {
        match *self {
            Self::Reset { function } => (0, [function.0.into(), 0, 0, 0]),
            Self::AdminQueue {
                function,
                enabled,
                error,
            } => (1, [function.0.into(), enabled.into(), error.into(), 0]),
            Self::Command {
                function,
                opcode,
                tag,
                status,
            } => (
                2,
                [function.0.into(), opcode.into(), tag.into(), status.into()],
            ),
            Self::Event {
                function,
                kind,
                sequence,
                written,
            } => (
                3,
                [
                    function.0.into(),
                    kind.into(),
                    sequence.into(),
                    written.into(),
                ],
            ),
            Self::QueueCreated {
                function,
                kind,
                index,
                entries,
            } => (
                4,
                [function.into(), kind.into(), index.into(), entries.into()],
            ),
            Self::QueueDestroyed {
                function,
                kind,
                index,
            } => (5, [function.into(), kind.into(), index.into(), 0]),
            Self::QueueStopped {
                function,
                kind,
                index,
                syndrome,
            } => (
                6,
                [function.into(), kind.into(), index.into(), syndrome.into()],
            ),
            Self::Completions {
                function,
                kind,
                index,
                cq_tail,
            } => (
                7,
                [function.into(), kind.into(), index.into(), cq_tail.into()],
            ),
            Self::Interrupt { function, vector } => (8, [function.0.into(), vector.into(), 0, 0]),
            Self::Fault { kind, param } => (9, [kind.into(), param.into(), 0, 0]),
            Self::Vfs { count } => (10, [count.into(), 0, 0, 0]),
            Self::Uplink { up } => (11, [up.into(), 0, 0, 0]),
            Self::Function { function, state } => (12, [function.into(), state.into(), 0, 0]),
            Self::Suspended { function, level } => (13, [function.0.into(), level.into(), 0, 0]),
            Self::Loaded {
                function,
                fault,
                tag,
            } => (14, [function.0.into(), fault.into(), tag.into(), 0]),
            Self::GuestError {
                function,
                error,
                value,
            } => (15, [function.0.into(), error as u64, value, 0]),
        }
    }
}
