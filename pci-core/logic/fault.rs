// SPDX-License-Identifier: GPL-2.0

//! The words in which a user orders a fault: `lose_completion opcode=0x0000 skip=1 count=2`.

use ferrite_abi::cmd::{
    FaultKind,
    InjectFault,
    ANY_OPCODE, //
};
use ferrite_abi::wire::{
    U16,
    U32, //
};

/// What a line orders.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    /// Disarm all faults.
    Clear,
    /// Arm one.
    Inject(InjectFault),
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadOrder {
    /// The line is empty.
    Empty,
    /// There is no such kind of fault.
    UnknownKind,
    /// A word is not `opcode=`, `skip=`, `count=`, `param=`, `chance=` or `seed=` with a number.
    BadWord,
    /// A number does not fit its field.
    OutOfRange,
}

/// Reads a line.
///
/// Without `opcode=` the fault is for any command, without `count=` it happens once; `count=0` is
/// for ever.
pub fn parse(line: &str) -> Result<Order, BadOrder> {
    let mut words = line.split_ascii_whitespace();
    let kind = words.next().ok_or(BadOrder::Empty)?;
    if kind == "clear" {
        return words
            .next()
            .map_or(Ok(Order::Clear), |_| Err(BadOrder::BadWord));
    }
    let (_, kind) = FaultKind::NAMED
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(kind))
        .ok_or(BadOrder::UnknownKind)?;
    let mut fault = InjectFault {
        kind: U16::new(*kind),
        opcode: U16::new(ANY_OPCODE),
        count: U32::new(1),
        ..InjectFault::default()
    };
    for word in words {
        let (key, value) = word.split_once('=').ok_or(BadOrder::BadWord)?;
        let value = number(value)?;
        match key {
            "opcode" => {
                fault.opcode = U16::new(value.try_into().map_err(|_| BadOrder::OutOfRange)?);
            }
            "skip" => fault.skip = U32::new(value),
            "count" => fault.count = U32::new(value),
            "param" => fault.param = U32::new(value),
            "chance" => fault.chance = U32::new(value),
            "seed" => fault.seed = U32::new(value),
            _ => return Err(BadOrder::BadWord),
        }
    }
    Ok(Order::Inject(fault))
}

/// Reads a decimal number, or a hexadecimal one that starts with `0x`.
fn number(word: &str) -> Result<u32, BadOrder> {
    let (digits, radix) = word
        .strip_prefix("0x")
        .map_or((word, 10), |digits| (digits, 16));
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(BadOrder::BadWord);
    }
    u32::from_str_radix(digits, radix).map_err(|_| BadOrder::OutOfRange)
}
