// SPDX-License-Identifier: GPL-2.0

//! What a user asks for with `devlink port add`, and whether that can be had.

use core::fmt;

use ferrite_abi::ids::{
    FunctionId,
    MAX_SFS, //
};

/// The first port index that users may choose: those below name functions by their ids.
pub const FIRST_CHOSEN_INDEX: u32 = 0x1_0000;

/// How far apart the indices are that a function's port may have. No id of a VF or SF is larger.
const STEP: u32 = 0x800;

const _: () = assert!(((FunctionId::FIRST_SF + MAX_SFS) as u32) <= STEP);

/// What the port is to be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// An SF, with the number that the user gave.
    Sf {
        /// Number that users know it by.
        sfnum: Option<u32>,
    },
    /// A VF.
    Vf,
    /// Something else.
    Other,
}

/// The request.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// What the port is to be for.
    pub wanted: Wanted,
    /// Number of the PF that the function is to belong to.
    pub pfnum: u16,
    /// Number of the controller, if it was given.
    pub controller: Option<u32>,
    /// Index of the port, if it was given.
    pub index: Option<u32>,
}

/// Why a function is not provisioned. The text is for the user: what is wrong, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadRequest {
    /// No port of that kind can be added.
    Flavour,
    /// The device has another PF.
    Pf,
    /// There is no such controller.
    Controller,
    /// The index is not for users to give out.
    Index,
    /// The switch is in legacy mode.
    Legacy,
}

impl fmt::Display for BadRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flavour => f.write_str("such ports cannot be added; use flavour pcisf or pcivf"),
            Self::Pf => f.write_str("the device has one PF; use pfnum 0"),
            Self::Controller => f.write_str("there is one controller; use controller 0 or none"),
            Self::Index => {
                write!(
                    f,
                    "port indices below {FIRST_CHOSEN_INDEX} are taken; use none"
                )
            }
            Self::Legacy => f.write_str("set the eswitch mode to switchdev first"),
        }
    }
}

impl Request {
    /// Checks the request against what the device can do at all; `switchdev` is whether the switch
    /// is in that mode.
    ///
    /// # Errors
    ///
    /// The first reason against it.
    pub fn check(&self, switchdev: bool) -> Result<(), BadRequest> {
        if self.wanted == Wanted::Other {
            return Err(BadRequest::Flavour);
        }
        if self.pfnum != 0 {
            return Err(BadRequest::Pf);
        }
        if self.controller.is_some_and(|number| number != 0) {
            return Err(BadRequest::Controller);
        }
        if self.index.is_some_and(|index| index < FIRST_CHOSEN_INDEX) {
            return Err(BadRequest::Index);
        }
        if !switchdev {
            return Err(BadRequest::Legacy);
        }
        Ok(())
    }

    /// The request of nobody, for functions that come by themselves.
    pub const NONE: Self = Self {
        wanted: Wanted::Other,
        pfnum: 0,
        controller: None,
        index: None,
    };

    /// Returns the indices that the port of `function` may have: the one that was asked for, or the id of the
    /// function, and others for when an older port has that, whose function changed its id.
    pub fn indices_for(&self, function: FunctionId) -> impl Iterator<Item = u32> {
        let (first, count) = match self.index {
            Some(index) => (index, 1),
            None => (function.0.into(), FIRST_CHOSEN_INDEX / STEP),
        };
        (0..count).map(move |n| first + n * STEP)
    }
}

/// Returns whether a function can have a hardware address: not zero, and that of one station.
pub fn is_station_address(address: [u8; 6]) -> bool {
    address != [0; 6] && address[0] & 1 == 0
}
