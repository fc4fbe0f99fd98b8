// SPDX-License-Identifier: GPL-2.0

//! Auxiliary devices, and their numbers, which are unique over all DPUs of the machine.

use ferrite_aux::{
    names,
    Owner, //
};
use kernel::{
    device::{
        Bound,
        Device, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};
use kernel_ext::auxiliary::Registration;

use crate::routes::Control;

const WORD_BITS: u32 = u64::BITS;
const WORDS: usize = 128;

/// A set of numbers, of which the lowest free one is given out.
pub(crate) struct Numbers([Atomic<u64>; WORDS]);

/// Numbers of Ethernet ports: the N of `ferrite_core.eth.N`.
static ETH: Numbers = Numbers::new();
/// Numbers of virtio-net devices: the N of `ferrite_core.vnet.N`.
static VNET: Numbers = Numbers::new();
/// Numbers of representors: the N of `ferrite_core.rep.N`.
static REP: Numbers = Numbers::new();
/// Numbers of VFs that can be migrated: the N of `ferrite_core.vfio_mig.N`.
static VFIO_MIG: Numbers = Numbers::new();
/// Numbers of SFs: the N of `ferrite_core.sf.N`.
pub(crate) static SF: Numbers = Numbers::new();

/// What a function is handed out as.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    /// Its Ethernet port.
    Ethernet,
    /// Its virtio-net device.
    Vnet,
    /// The representor of another one.
    Representor,
}

/// An auxiliary device by which clients are handed a function. Its number is free again when it is
/// gone.
pub(crate) struct Published {
    _device: Registration,
    _number: Number,
}

impl Published {
    /// Makes the auxiliary device of `owner`'s function below `parent`.
    pub(crate) fn new(owner: &Owner, parent: &Device<Bound>, role: Role) -> Result<Self> {
        let (kind, numbers) = match role {
            Role::Ethernet => (names::ETH, &ETH),
            Role::Vnet => (names::VNET, &VNET),
            Role::Representor => (names::REP, &REP),
        };
        let number = numbers.take()?;
        Ok(Self {
            _device: owner.publish(parent, kind, number.get())?,
            _number: number,
        })
    }
}

/// An auxiliary device by which a VF is controlled from outside. It goes before events about the VF do.
pub(crate) struct Lent {
    _published: Published,
    _control: Control,
}

impl Lent {
    /// Makes the auxiliary device below the VF's PF.
    pub(crate) fn new(pf: &Owner, parent: &Device<Bound>, control: Control) -> Result<Self> {
        let number = VFIO_MIG.take()?;
        let told = control.controllers().clone();
        let device = pf.publish_controlled(parent, number.get(), control.vf(), told)?;
        Ok(Self {
            _published: Published {
                _device: device,
                _number: number,
            },
            _control: control,
        })
    }
}

impl Numbers {
    const fn new() -> Self {
        Self([const { Atomic::new(0) }; WORDS])
    }

    /// Takes the lowest free number, until what is returned is dropped.
    ///
    /// # Errors
    ///
    /// `ENOSPC` if none is left.
    pub(crate) fn take(&'static self) -> Result<Number> {
        for (index, word) in self.0.iter().enumerate() {
            let mut taken = word.load(Relaxed);
            while taken != u64::MAX {
                let bit = taken.trailing_ones();
                match word.cmpxchg(taken, taken | (1 << bit), Relaxed) {
                    // CAST: the index is less than `WORDS`.
                    Ok(_) => return Ok(Number(self, index as u32 * WORD_BITS + bit)),
                    Err(now) => taken = now,
                }
            }
        }
        Err(ENOSPC)
    }

    fn give_back(&self, number: u32) {
        // PANIC: only numbers that `take` made come back.
        let word = &self.0[(number / WORD_BITS) as usize];
        let mut taken = word.load(Relaxed);
        while let Err(now) = word.cmpxchg(taken, taken & !(1 << (number % WORD_BITS)), Relaxed) {
            taken = now;
        }
    }
}

/// A number that nobody else has.
pub(crate) struct Number(&'static Numbers, u32);

impl Number {
    /// Returns its value.
    pub(crate) fn get(&self) -> u32 {
        self.1
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        self.0.give_back(self.1);
    }
}
