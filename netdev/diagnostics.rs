// SPDX-License-Identifier: GPL-2.0

//! Tests of the device, and its registers, for users.

use crate::{
    link,
    logic::dump,
    poll::Interrupts,
    port::Port, //
};
use ferrite_abi::{
    cmd::{
        Echo,
        QueryLink,
        SetLoopback, //
    },
    regs::Features,
    wire::U64, //
};
use ferrite_aux::CmdError;
use kernel::{
    prelude::*,
    sync::Arc,
    time::Msecs, //
};
use kernel_ext::{
    ethtool::diagnostics::{
        Diagnostics,
        Test, //
    },
    flow::not_supported,
    netdev::{
        Device,
        Lock, //
    },
};

/// Milliseconds that a packet may take from a port to itself, and an interrupt to come.
const PATIENCE: Msecs = 2000;
/// Packets that are sent for an interrupt: NAPI may be running anyway, and then wants none.
const ATTEMPTS: u32 = 3;

/// What the device is asked to echo.
const ECHOES: [u64; 4] = [0, u64::MAX, 0x5555_5555_aaaa_aaaa, 0x0123_4567_89ab_cdef];

#[vtable]
impl Diagnostics for Port {
    const TESTS: &'static [Test] = &[
        Test {
            name: "Link         (on/offline)",
            offline: false,
        },
        Test {
            name: "Registers    (on/offline)",
            offline: false,
        },
        Test {
            name: "Admin queue  (on/offline)",
            offline: false,
        },
        Test {
            name: "Loopback     (offline)",
            offline: true,
        },
        Test {
            name: "Interrupts   (offline)",
            offline: true,
        },
    ];
    const REGISTERS_VERSION: u32 = dump::VERSION;
    const REGISTERS_LEN: usize = dump::WORDS;

    fn self_test(device: &Device<Self>, lock: &Lock, test: usize) -> Result {
        let port = device.data().get_ref();
        match test {
            0 => match port.function.send(QueryLink {})?.up {
                0 => Err(ENODEV),
                _ => Ok(()),
            },
            1 => match port.function.bus_works()? {
                true => Ok(()),
                false => Err(EIO),
            },
            2 => ECHOES.iter().try_for_each(|value| {
                let value = U64::new(*value);
                let echo = port.function.send(Echo { value })?;
                (echo.value == value).then_some(()).ok_or(EIO)
            }),
            3 => turned_around(device, || {
                let pairs = port.control.lock().config.pairs;
                (0..pairs).try_for_each(|queue| device.echo(lock, queue, PATIENCE))
            }),
            4 => turned_around(device, || {
                (0..)
                    .zip(interrupts(port)?)
                    .try_for_each(|(queue, interrupts)| {
                        has_interrupt(device, lock, queue, &interrupts)
                    })
            }),
            _ => Err(EINVAL),
        }
    }

    fn registers(device: &Device<Self>, words: &mut [u32]) {
        let function = &device.data().get_ref().function;
        // A device that is gone reads as all ones.
        dump::fill(words, |register| {
            function.register(register).unwrap_or(u32::MAX)
        });
    }
}

/// Turns a port around, or back.
///
/// # Errors
///
/// Those of [`CmdError`].
pub(crate) fn set_loopback(device: &Device<Port>, on: bool) -> Result<(), CmdError> {
    let port = device.data().get_ref();
    port.function.send(SetLoopback {
        enable: on.into(),
        rsvd: [0; 3],
    })
}

/// Does something while the port is turned around.
///
/// # Errors
///
/// `EOPNOTSUPP` if the device cannot do that, `EAGAIN` if the port is down, those of [`CmdError`] and of `f`.
fn turned_around(device: &Device<Port>, f: impl FnOnce() -> Result) -> Result {
    let port = device.data().get_ref();
    if !port.function.has(Features::LOOPBACK) {
        return Err(not_supported());
    }
    let loops = {
        let control = port.control.lock();
        if !control.is_up() {
            return Err(EAGAIN);
        }
        control.config.loops
    };
    set_loopback(device, true)?;
    // It has a link now, cable or not.
    link::update(device);
    let result = f();
    let back = set_loopback(device, loops);
    link::update(device);
    result.and(back.map_err(Error::from))
}

/// Returns the interrupts of all pairs.
fn interrupts(port: &Port) -> Result<KVec<Arc<Interrupts>>> {
    let control = port.control.lock();
    let mut all = KVec::new();
    for pair in control.pairs() {
        all.push(pair.interrupts(), GFP_KERNEL)?;
    }
    Ok(all)
}

/// Finds out whether a packet that is sent leads to an interrupt.
fn has_interrupt(
    device: &Device<Port>,
    lock: &Lock,
    queue: u16,
    interrupts: &Interrupts,
) -> Result {
    for _ in 0..ATTEMPTS {
        interrupts.expect();
        device.echo(lock, queue, PATIENCE)?;
        if interrupts.came(PATIENCE) {
            return Ok(());
        }
    }
    Err(ETIMEDOUT)
}
