// SPDX-License-Identifier: GPL-2.0

//! What a device says of itself, checked before anything is built on it.

use core::fmt;

use ferrite_abi::cmd::QueryFunctionDone;
use ferrite_abi::ids::{
    FunctionId,
    MAX_MTU,
    MAX_QUEUES,
    MAX_VECTORS,
    MIN_MTU, //
};
use ferrite_abi::regs::{
    AbiVersion,
    Function,
    Limits,
    Magic,
    Register,
    Scratch,
    ScratchNot,
    Status, //
};
use ferrite_abi::ring::Depth;
use ferrite_abi::ABI_VERSION;

use super::port::{
    Registers,
    ALL_ONES, //
};

/// Patterns for the scratch register: each bit is tried both ways, next to its neighbours.
const PATTERNS: [u32; 4] = [0x5555_5555, 0xaaaa_aaaa, 0x00ff_00ff, 0];

/// Why this is no device that the driver can work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Registers read as all ones.
    Vanished,
    /// The magic number is wrong.
    Magic(u32),
    /// Another major version of the contract.
    Version(u32),
    /// The scratch register does not hold what is written.
    Scratch {
        /// What was written.
        wrote: u32,
        /// What was read back.
        read: u32,
    },
    /// The id names no function, or one of the wrong kind.
    Function(u16),
    /// No vectors or doorbell pages, or more than there can be.
    Limits(u32),
    /// The function is inactive: its PF keeps it from use.
    Inactive,
    /// The function is not ready for use.
    NotReady(u32),
    /// A number in the answer to a query is out of range.
    Number {
        /// Name of the field.
        field: &'static str,
        /// What it says.
        value: u32,
    },
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vanished => f.write_str("registers read as all ones"),
            Self::Magic(value) => write!(f, "magic number is {value:#010x}"),
            Self::Version(value) => write!(
                f,
                "hardware contract is version {}.{}, this driver knows {}.x",
                value >> 16,
                value & 0xffff,
                ABI_VERSION >> 16
            ),
            Self::Scratch { wrote, read } => {
                write!(
                    f,
                    "scratch register holds {read:#010x} after {wrote:#010x} was written"
                )
            }
            Self::Function(id) => write!(f, "function id {id:#06x} names nothing"),
            Self::Limits(value) => write!(f, "limits register is {value:#010x}"),
            Self::Inactive => f.write_str("function is inactive"),
            Self::NotReady(value) => write!(f, "function is not ready, status {value:#010x}"),
            Self::Number { field, value } => write!(f, "{field} is {value}"),
        }
    }
}

/// What the registers say of the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basics {
    /// Which function it is.
    pub id: FunctionId,
    /// Number of MSI-X vectors.
    pub vectors: u16,
    /// Number of doorbell pages.
    pub doorbell_pages: u16,
}

/// Checks that the scratch register holds what is written to it.
pub fn check_scratch(regs: &impl Registers) -> Result<(), Unfit> {
    for wrote in PATTERNS {
        regs.write(Scratch(wrote));
        let read = regs.read::<Scratch>().raw();
        if read != wrote || regs.read::<ScratchNot>().raw() != !wrote {
            return Err(Unfit::Scratch { wrote, read });
        }
    }
    Ok(())
}

/// Checks that this is a Ferrite function, and that the bus to it works.
pub fn check_registers(regs: &impl Registers) -> Result<Basics, Unfit> {
    let magic = regs.read::<Magic>();
    if magic.raw() == ALL_ONES {
        return Err(Unfit::Vanished);
    }
    if Some(magic.raw()) != Magic::INFO.reset {
        return Err(Unfit::Magic(magic.raw()));
    }
    let version = regs.read::<AbiVersion>();
    if version.major() != ABI_VERSION >> 16 {
        return Err(Unfit::Version(version.raw()));
    }
    check_scratch(regs)?;
    let id = FunctionId(regs.read::<Function>().id() as u16);
    if id.kind().is_none() {
        return Err(Unfit::Function(id.0));
    }
    let limits = regs.read::<Limits>();
    let basics = Basics {
        id,
        vectors: limits.vectors() as u16,
        doorbell_pages: limits.doorbell_pages() as u16,
    };
    if !(1..=MAX_VECTORS).contains(&basics.vectors) || basics.doorbell_pages == 0 {
        return Err(Unfit::Limits(limits.raw()));
    }
    Ok(basics)
}

/// Checks that a reset is over and the function may be used.
pub fn check_ready(regs: &impl Registers) -> Result<(), Unfit> {
    let status = regs.read::<Status>();
    if status.raw() == ALL_ONES {
        return Err(Unfit::Vanished);
    }
    if status.ready() == 0 && status.resetting() == 0 && status.fatal() == 0 {
        return Err(Unfit::Inactive);
    }
    if status.ready() == 0 || status.resetting() != 0 || status.fatal() != 0 {
        return Err(Unfit::NotReady(status.raw()));
    }
    Ok(())
}

/// Checks what a function says of itself against the limits of the architecture.
pub fn check_function(answer: &QueryFunctionDone, basics: &Basics) -> Result<(), Unfit> {
    let check = |field, value: u32, low: u32, high: u32| {
        if (low..=high).contains(&value) {
            Ok(())
        } else {
            Err(Unfit::Number { field, value })
        }
    };
    let max_mtu = u32::from(answer.max_mtu.get());
    let depths = (*Depth::LOG2_RANGE.start(), *Depth::LOG2_RANGE.end());
    check(
        "number of queues",
        answer.max_queues.get().into(),
        1,
        MAX_QUEUES.into(),
    )?;
    check("largest MTU", max_mtu, MIN_MTU.into(), MAX_MTU.into())?;
    check("MTU", answer.mtu.get().into(), MIN_MTU.into(), max_mtu)?;
    check(
        "largest queue depth",
        answer.max_depth_log2.into(),
        depths.0.into(),
        depths.1.into(),
    )?;
    let last_page = u32::from(basics.doorbell_pages) - 1;
    check(
        "doorbell page",
        answer.doorbell_page.get().into(),
        0,
        last_page,
    )
}

/// Returns the text of a field that is padded with zeros, or [`None`] if it is empty or not
/// printable ASCII throughout.
pub fn text(field: &[u8]) -> Option<&str> {
    let end = field
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(field.len());
    let (text, padding) = field.split_at(end);
    let printable = text
        .iter()
        .all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    let padded = padding.iter().all(|byte| *byte == 0);
    if text.is_empty() || !printable || !padded {
        return None;
    }
    core::str::from_utf8(text).ok()
}
