// SPDX-License-Identifier: GPL-2.0

//! Counters of frames that standards define.

use crate::{
    logic::frames::CLASSES,
    port::Port, //
};
use ferrite_abi::{
    cmd::{
        self,
        QueryFrames,
        QueryStats, //
    },
    regs::Features, //
};
use kernel::prelude::*;
use kernel_ext::{
    ethtool::frames::{
        DirectionCounters,
        FrameCounters,
        Frames,
        MAX_CLASSES, //
    },
    netdev::Device, //
};

#[vtable]
impl Frames for Port {
    const CLASSES: &'static [(u16, u16)] = &CLASSES;

    fn frames(device: &Device<Self>) -> Option<FrameCounters> {
        let function = &device.data().get_ref().function;
        if !function.has(Features::FRAME_COUNTERS) {
            return None;
        }
        let ((), frames) = function.fetch(QueryFrames {}).ok()?;
        let ((), packets) = function.fetch(QueryStats {}).ok()?;
        Some(FrameCounters {
            tx: direction(&frames.tx, packets.tx_dma_fault.get()),
            rx: direction(&frames.rx, packets.rx_dma_fault.get()),
            too_long: packets.rx_too_long.get(),
        })
    }
}

fn direction(counters: &cmd::FrameCounters, lost: u64) -> DirectionCounters {
    let mut classes = [0; MAX_CLASSES];
    for (to, counter) in classes.iter_mut().zip(&counters.classes) {
        *to = counter.get();
    }
    DirectionCounters {
        frames: counters.frames.get(),
        octets: counters.octets.get(),
        multicast: counters.multicast.get(),
        broadcast: counters.broadcast.get(),
        control: counters.control.get(),
        lost,
        classes,
    }
}
