// SPDX-License-Identifier: GPL-2.0

//! Receive queues that are made anew one by one, while the others go on: by the stack, with memory of a provider or with
//! memory of its own again; and because one is not well.

use crate::{
    memory::RxMemory,
    port::{
        setup,
        Control,
        Port, //
    },
    rx::Receiver, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    netdev::{
        Device,
        Lock, //
    },
    netdev_restart::{
        is_down,
        Restart, //
    }, //
};

impl Restart for Port {
    type RxQueue = Receiver;

    fn alloc_rx(device: &Device<Self>, lock: &Lock, queue: u16) -> Result<Receiver> {
        let port = device.data().get_ref();
        let control = port.control.lock();
        let setup = setup(&port.function, &control.config)?;
        let memory = match control.pairs().get(usize::from(queue)) {
            // The rings stay: they are the old queue's until it is stopped.
            Some(pair) => pair.rx_memory().clone(),
            // The port is down: this is to find out whether it could be.
            None => {
                let depth = setup.rx_depth;
                let memory = RxMemory::of_rx(&port.function, depth, queue, setup.has_places())?;
                Arc::new(memory, GFP_KERNEL)?
            }
        };
        Receiver::new(device, lock, queue, &memory, &setup)
    }

    fn start_rx(
        device: &Device<Self>,
        lock: &Lock,
        queue: u16,
        with: Receiver,
    ) -> Result<(), (Error, Receiver)> {
        let mut control = device.data().get_ref().control.lock();
        match control.pair_mut(queue) {
            Some(pair) => pair.start_rx(device, lock, with),
            None => Err((is_down(), with)),
        }
    }

    fn stop_rx(device: &Device<Self>, lock: &Lock, queue: u16) -> Result<Receiver> {
        let mut control = device.data().get_ref().control.lock();
        let pair = control.pair_mut(queue).ok_or_else(is_down)?;
        pair.stop_rx(lock)
    }
}

/// Makes a receive queue anew, while the other queue of its pair goes on.
///
/// # Errors
///
/// Those of [`QueuePair::start_rx`](crate::pair::QueuePair::start_rx).
pub(crate) fn renew(
    device: &Device<Port>,
    lock: &Lock,
    control: &mut Control,
    queue: u16,
) -> Result {
    let setup = setup(&device.data().function, &control.config)?;
    let pair = control.pair_mut(queue).ok_or_else(is_down)?;
    let receiver = Receiver::new(device, lock, queue, pair.rx_memory(), &setup)?;
    drop(pair.stop_rx(lock)?);
    pair.start_rx(device, lock, receiver)
        .map_err(|(error, _)| error)
}
