// SPDX-License-Identifier: GPL-2.0

//! The rate of something that sends, as users change it piece by piece.

use core::fmt;

use ferrite_abi::{
    cmd::{
        Rate,
        TRAFFIC_CLASSES, //
    },
    wire::{
        IntoBytes,
        U32,
        U64, //
    },
};

/// Largest weight.
pub const MAX_WEIGHT: u32 = 200;

/// One piece of a rate. Rates are in bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// What it gets before others get more than theirs.
    Share(u64),
    /// The most that it gets.
    Max(u64),
    /// Its priority among its siblings.
    Priority(u32),
    /// Its weight among siblings of the same priority.
    Weight(u32),
    /// Shares of the traffic classes in percent.
    Classes([u32; TRAFFIC_CLASSES]),
}

/// Why a rate cannot be. The text is for the user: what is wrong, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRate {
    /// The weight is out of range.
    Weight(u32),
    /// The shares of the traffic classes do not make a whole.
    Classes(u64),
}

impl fmt::Display for BadRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weight(weight) => {
                write!(
                    f,
                    "tx_weight {weight} is out of range; use 1 to {MAX_WEIGHT}"
                )
            }
            Self::Classes(sum) => write!(
                f,
                "the shares of tc-bw are {sum} together; let them be 100, or all 0"
            ),
        }
    }
}

/// Returns whether `rate` is none: nothing is limited or preferred.
pub fn is_none(rate: &Rate) -> bool {
    rate.as_bytes() == Rate::default().as_bytes()
}

/// Returns `rate` with one piece changed. Where there is less than is guaranteed in all, or more than
/// may be had, the device does what it can.
///
/// # Errors
///
/// Those of [`BadRate`].
pub fn changed(rate: &Rate, change: Change) -> Result<Rate, BadRate> {
    let mut rate = *rate;
    match change {
        Change::Share(share) => rate.tx_share = U64::new(share),
        Change::Max(max) => rate.tx_max = U64::new(max),
        Change::Priority(priority) => rate.priority = U32::new(priority),
        Change::Weight(weight) => {
            if weight > MAX_WEIGHT {
                return Err(BadRate::Weight(weight));
            }
            rate.weight = U32::new(weight);
        }
        Change::Classes(shares) => {
            let sum = shares.iter().map(|share| u64::from(*share)).sum();
            if sum != 0 && sum != 100 {
                return Err(BadRate::Classes(sum));
            }
            rate.tc_bw = shares.map(U32::new);
        }
    }
    Ok(rate)
}
