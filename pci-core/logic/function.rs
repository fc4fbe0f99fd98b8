// SPDX-License-Identifier: GPL-2.0

//! The life of a provisioned function, VF and SF alike, as the driver knows it.
//!
//! The device is asked for each step and may refuse it, answer late or not at all. What counts is
//! what it confirmed: an id is free again, and a function may be activated again, only then.

use core::fmt;

use ferrite_abi::event::FunctionState;

/// Where a function is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// There is none; its id may be given out.
    #[default]
    Absent,
    /// It can be configured, and is used by nobody.
    Inactive,
    /// The device was asked to activate it.
    Activating,
    /// A driver may use it.
    Active,
    /// The device was asked to deactivate it; its driver is gone.
    Deactivating,
    /// The device was asked to end it; users do not see it any more.
    Destroying,
}

/// What happens to a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The device provisioned it.
    Created,
    /// It is to be activated.
    Activate,
    /// It is to be deactivated.
    Deactivate,
    /// It is to end.
    Destroy,
    /// The device did what it was asked for.
    Confirmed,
    /// The device did not do it, and says so.
    Denied,
    /// The device says that it is no more, or was reset, which ends all functions.
    Gone,
}

/// Why a step is not taken. The text is for the user: what is wrong, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such function.
    Absent,
    /// It is active.
    Active,
    /// The device did not confirm what it was asked for last.
    Unconfirmed,
    /// There is one already.
    Exists,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "the function is gone; delete its port",
            Self::Active => "the function is active; set its state to inactive first",
            Self::Unconfirmed => "the device did not confirm; set the state to inactive again",
            Self::Exists => "the device gave out a function that there is already",
        })
    }
}

impl Stage {
    /// Returns the stage after a step.
    ///
    /// # Errors
    ///
    /// The reason why the step cannot be taken; the function stays where it is.
    pub fn after(self, step: Step) -> Result<Self, Refusal> {
        use Stage::*;
        match (self, step) {
            // That it is given out anew proves that the last one ended.
            (Absent | Destroying, Step::Created) => Ok(Inactive),
            (_, Step::Created) => Err(Refusal::Exists),

            (_, Step::Gone) => Ok(Absent),
            (Absent, _) => Err(Refusal::Absent),

            (Inactive | Activating, Step::Activate) => Ok(Activating),
            (Active, Step::Activate) => Ok(Active),
            (Deactivating, Step::Activate) => Err(Refusal::Unconfirmed),

            (Inactive, Step::Deactivate) => Ok(Inactive),
            (Activating | Active | Deactivating, Step::Deactivate) => Ok(Deactivating),

            (Inactive | Destroying, Step::Destroy) => Ok(Destroying),
            (Activating | Active, Step::Destroy) => Err(Refusal::Active),
            (Deactivating, Step::Destroy) => Err(Refusal::Unconfirmed),

            (Activating | Active, Step::Confirmed) => Ok(Active),
            (Inactive | Deactivating, Step::Confirmed) => Ok(Inactive),
            (Destroying, Step::Confirmed) => Ok(Absent),

            (Inactive | Activating, Step::Denied) => Ok(Inactive),
            // What the device says no to in these stages it has not done; it can be tried again.
            (Active | Deactivating | Destroying, Step::Denied) => Ok(self),

            (Destroying, Step::Activate | Step::Deactivate) => Err(Refusal::Absent),
        }
    }

    /// Returns what the user is shown: whether it is active, and whether a driver uses it, given
    /// what the device says of the latter.
    pub fn shown(self, device: FunctionState) -> (bool, bool) {
        let active = matches!(self, Self::Active | Self::Activating);
        (active, device == FunctionState::IN_USE)
    }
}

/// Who drives a function. It is one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consumer {
    /// The network stack.
    Netdev,
    /// A vDPA driver.
    Vdpa,
    /// A virtual machine, by way of VFIO.
    Vfio,
}

/// Why there is no telling who shall drive a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict;

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one driver at a time: set enable_eth or enable_vnet to false first")
    }
}

impl Consumer {
    /// Returns who drives an SF whose parameters `enable_eth` and `enable_vnet` are these, or
    /// [`None`] if nobody shall.
    ///
    /// # Errors
    ///
    /// [`Conflict`] if both are set.
    pub fn of_sf(enable_eth: bool, enable_vnet: bool) -> Result<Option<Self>, Conflict> {
        match (enable_eth, enable_vnet) {
            (false, false) => Ok(None),
            (true, false) => Ok(Some(Self::Netdev)),
            (false, true) => Ok(Some(Self::Vdpa)),
            (true, true) => Err(Conflict),
        }
    }

    /// Returns who drives a VF that may be `migratable`.
    pub fn of_vf(migratable: bool) -> Self {
        if migratable {
            Self::Vfio
        } else {
            Self::Netdev
        }
    }
}
